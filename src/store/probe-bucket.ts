// Tries what the archive's credentials could do to the bucket itself, without changing it: what stands is written back as it stands, and
// what is absent is removed again. A right that is never used is still a right that a thief of the credentials would have.

import {
  DeleteBucketLifecycleCommand,
  DeleteBucketPolicyCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketPolicyCommand,
  GetObjectLockConfigurationCommand,
  type LifecycleRule,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
} from '@aws-sdk/client-s3';
import { isNamed } from './s3-bucket.ts';
import type { Scratch } from './scratch.ts';
import { held, notHeld, type Trial, untold } from './trial.ts';

export interface BucketTrials {
  /** Whether changing each of these is refused. */
  readonly versioning: Trial;
  readonly lock: Trial;
  readonly lifecycle: Trial;
  readonly policy: Trial;
  /** Whether no rule of the bucket's life cycle removes objects by itself. */
  readonly keepsAll: Trial;
}

/** @param versioned whether the bucket keeps versions now */
export async function tryBucket(scratch: Scratch, versioned: boolean): Promise<BucketTrials> {
  const { bucket, client } = scratch.bucket;
  const changed = async (send: Parameters<typeof scratch.ask<unknown>>[0]): Promise<Trial> => {
    const { refused } = await scratch.ask(send);
    return refused === null ? notHeld('allowed') : held(refused);
  };

  const versioning = versioned
    ? await changed((options) =>
        client.send(
          new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
          options,
        ),
      )
    : untold('not tried: the bucket keeps no versions');

  const locking = await scratch.ask((options) =>
    client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket }), options),
  );
  const ObjectLockConfiguration = locking.given?.ObjectLockConfiguration;
  const lock =
    ObjectLockConfiguration === undefined
      ? untold(`not tried: ${locking.refused ?? 'there is no lock configuration'}`)
      : await changed((options) =>
          client.send(
            new PutObjectLockConfigurationCommand({ Bucket: bucket, ObjectLockConfiguration }),
            options,
          ),
        );

  const rules = await scratch.ask((options) =>
    client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }), options),
  );
  const noRules = rules.refused !== null && isNamed(rules.error, 'NoSuchLifecycleConfiguration');
  const lifecycle = noRules
    ? await changed((options) => client.send(new DeleteBucketLifecycleCommand({ Bucket: bucket }), options))
    : untold(
        rules.refused === null
          ? 'not tried: the bucket has life cycle rules, which a trial would rewrite'
          : `not tried: reading the life cycle was refused: ${rules.refused}`,
      );

  return {
    versioning,
    lock,
    lifecycle,
    policy: await tryPolicy(scratch),
    keepsAll: judgeRules(rules.given?.Rules, rules.refused, noRules),
  };
}

async function tryPolicy(scratch: Scratch): Promise<Trial> {
  const { bucket, client } = scratch.bucket;
  const present = await scratch.ask((options) =>
    client.send(new GetBucketPolicyCommand({ Bucket: bucket }), options),
  );
  const absent = present.refused !== null && isNamed(present.error, 'NoSuchBucketPolicy');
  if (present.refused !== null && !absent)
    return untold(`not tried: reading the policy was refused: ${present.refused}`);
  // An empty policy is malformed, and grants nothing where it is taken: the right is judged before the text.
  const Policy = present.given?.Policy ?? '{}';
  const put = await scratch.ask((options) =>
    client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }), options),
  );
  if (put.refused === null && absent) {
    const removed = await scratch.ask((options) =>
      client.send(new DeleteBucketPolicyCommand({ Bucket: bucket }), options),
    );
    if (removed.refused !== null)
      return notHeld(`allowed, and an empty policy {} stays: removing it was refused: ${removed.refused}`);
  }
  if (put.refused === null) return notHeld('allowed');
  return isNamed(put.error, 'AccessDenied', 'NotImplemented', 'MethodNotAllowed')
    ? held(put.refused)
    : notHeld(`allowed (an empty policy was found ${put.refused})`);
}

function judgeRules(rules: LifecycleRule[] | undefined, refused: string | null, none: boolean): Trial {
  if (none) return held('it has no life cycle rules');
  if (rules === undefined) return untold(`reading its life cycle was refused: ${refused ?? 'no answer'}`);
  const removing = rules.filter(
    (rule) =>
      rule.Status === 'Enabled' &&
      (rule.NoncurrentVersionExpiration !== undefined ||
        rule.Expiration?.Days !== undefined ||
        rule.Expiration?.Date !== undefined),
  );
  return removing.length === 0
    ? held(`none of its ${rules.length} life cycle rules removes objects`)
    : notHeld(
        `life cycle rules remove objects: ${removing.map((rule) => rule.ID ?? 'without id').join(', ')}`,
      );
}
