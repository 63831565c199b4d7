// What the S3 store, its eraser and its lock keeper share: the client, the versions of a key, and errors that name the
// endpoint and the remedy. An answer counts as "absent" only when the service has said so in its own words.

import {
  GetBucketVersioningCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { MunimentError, ObjectNotFoundError, ServiceError } from '../core/errors.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Address {
  readonly bucket: string;
  readonly region: string;
  /** Origin of the service, or null for AWS. */
  readonly endpoint: string | null;
  /** Stands before every key, e.g. `city/`; may be empty. */
  readonly prefix: string;
  /** Absent: the AWS SDK's own chain (instance or container role). */
  readonly credentials?: S3Credentials;
}

/** One version of one object, as listed. */
export interface ObjectVersion {
  readonly name: string;
  readonly version: string;
  readonly length: number;
  readonly modifiedAt: Temporal.Instant;
  /** A delete marker hides what is behind it and removes nothing. */
  readonly marker: boolean;
  readonly latest: boolean;
}

/** What stands under one name: the object, and what came after it. */
interface NamedVersions {
  readonly first: ObjectVersion;
  /** A delete marker is the newest. */
  readonly hidden: boolean;
  /** Ids of later versions, oldest first. */
  readonly later: readonly string[];
}

/** Stands for the one version of an object in a bucket that keeps none. */
export const UNVERSIONED = '';
/** Of one name. More would only tell the same again. */
const LATER_KEPT = 100;
const ATTEMPTS = 4;
/** How services call bytes that do not have the digest which came with them. */
export const OTHER_DIGEST = ['BadDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch'];
const ALTERED_ON_THE_WAY = [...OTHER_DIGEST, 'InvalidDigest', 'IncompleteBody'];
const CONNECT_TIMEOUT = 5_000;
/** Without a byte in either direction, in milliseconds. */
const IDLE_TIMEOUT = 60_000;
const SOCKETS = 64;
/** By how much a service's time must have changed for a refused request to be signed anew, in milliseconds. */
const SKEW_NOTICED = 60_000;

export class S3Bucket {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
  readonly location: string;
  /** With the service: buckets of two services may have one name. */
  readonly identity: string;
  readonly #where: string;
  #versioned: Promise<boolean> | undefined;

  constructor({ bucket, region, endpoint, prefix, credentials }: S3Address) {
    this.bucket = bucket;
    this.prefix = prefix;
    this.location = `s3://${bucket}/${prefix}`;
    this.identity = `s3:${endpoint ?? `aws:${region}`}/${bucket}/${prefix}`;
    this.#where = endpoint ?? `AWS S3 in ${region}`;
    this.client = new S3Client({
      region,
      ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
      ...(credentials ? { credentials } : {}),
      maxAttempts: ATTEMPTS,
      // Only what we ask for: many servers reject checksum trailers that they do not know.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT,
        socketTimeout: IDLE_TIMEOUT,
        httpAgent: { keepAlive: true, maxSockets: SOCKETS },
        httpsAgent: { keepAlive: true, maxSockets: SOCKETS },
      },
    });
    // The digest that goes into the signature too: computed once, and what the service signs for is what it received.
    this.client.middlewareStack.add(
      (next) => async (given) => {
        const { ChecksumSHA256: digest } = given.input as { ChecksumSHA256?: string };
        const { headers } = given.request as { headers: Record<string, string> };
        if (digest !== undefined)
          headers['x-amz-content-sha256'] = Buffer.from(digest, 'base64').toString('hex');
        return next(given);
      },
      { step: 'build', name: 'declareDigest' },
    );
    this.#tryAgainByTheClock();
  }

  /**
   * The SDK signs by the time the service last told, and tries again only when that time is far from ours. A service, or what stands
   * before it, that once told a wrong time must not cost a request after it has found back to the right one.
   */
  #tryAgainByTheClock(): void {
    const { config } = this.client;
    const tryAgain =
      <Given, Result>(next: (given: Given) => Promise<Result>) =>
      async (given: Given): Promise<Result> => {
        const before = config.systemClockOffset;
        try {
          return await next(given);
        } catch (error) {
          if (
            error instanceof S3ServiceException &&
            Math.abs(config.systemClockOffset - before) >= SKEW_NOTICED
          )
            Object.assign(error, { $retryable: {} });
          throw error;
        }
      };
    this.client.middlewareStack.addRelativeTo(tryAgain, {
      relation: 'before',
      toMiddleware: 'httpSigningMiddleware',
      name: 'tryAgainByTheClock',
    });
  }

  /** Whether the bucket keeps every version. Asked once; a failure is asked again. */
  versioned(): Promise<boolean> {
    this.#versioned ??= this.client.send(new GetBucketVersioningCommand({ Bucket: this.bucket })).then(
      ({ Status }) => Status === 'Enabled',
      (error) => {
        this.#versioned = undefined;
        throw this.trouble(error, 'could not ask whether the bucket keeps versions');
      },
    );
    return this.#versioned;
  }

  /** Every version and delete marker under a prefix, by name; the versions of one name come newest first. */
  async *versions(prefix: string): AsyncGenerator<ObjectVersion> {
    let from: { KeyMarker?: string; VersionIdMarker?: string } = {};
    for (;;) {
      const page = await this.client
        .send(new ListObjectVersionsCommand({ Bucket: this.bucket, Prefix: prefix, ...from }))
        .catch((error: unknown) => {
          throw this.trouble(error, 'could not list versions');
        });
      const found: ObjectVersion[] = [];
      for (const { Key, VersionId, LastModified, Size = 0, IsLatest = false } of page.Versions ?? []) {
        if (Key === undefined || VersionId === undefined || LastModified === undefined) continue;
        const modifiedAt = Temporal.Instant.fromEpochMilliseconds(LastModified.getTime());
        found.push({
          name: Key,
          version: VersionId,
          length: Size,
          modifiedAt,
          marker: false,
          latest: IsLatest,
        });
      }
      for (const { Key, VersionId, LastModified, IsLatest = false } of page.DeleteMarkers ?? []) {
        if (Key === undefined || VersionId === undefined || LastModified === undefined) continue;
        const modifiedAt = Temporal.Instant.fromEpochMilliseconds(LastModified.getTime());
        found.push({ name: Key, version: VersionId, length: 0, modifiedAt, marker: true, latest: IsLatest });
      }
      // Two lists, each by name: a name's versions and markers must come together. The sort is stable.
      found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
      yield* found;
      if (!page.IsTruncated || page.NextKeyMarker === undefined) return;
      from = {
        KeyMarker: page.NextKeyMarker,
        ...(page.NextVersionIdMarker ? { VersionIdMarker: page.NextVersionIdMarker } : {}),
      };
    }
  }

  /** What stands under each name of a prefix, by name; names with nothing but delete markers are left out. */
  async *named(prefix: string): AsyncGenerator<NamedVersions> {
    let name: string | null = null;
    let first: ObjectVersion | null = null;
    let hidden = false;
    let later: string[] = [];
    for await (const version of this.versions(prefix)) {
      if (version.name !== name) {
        if (first !== null) yield { first, hidden, later };
        ({ name } = version);
        first = null;
        hidden = false;
        later = [];
      }
      if (version.marker) hidden ||= version.latest;
      else {
        if (first !== null) later = [first.version, ...later].slice(0, LATER_KEPT);
        first = version;
      }
    }
    if (first !== null) yield { first, hidden, later };
  }

  /** Objects under a prefix as a bucket without versions lists them. */
  async *objects(prefix: string): AsyncGenerator<Pick<ObjectVersion, 'name' | 'length' | 'modifiedAt'>> {
    let after: { ContinuationToken?: string } = {};
    for (;;) {
      const input = { Bucket: this.bucket, Prefix: prefix, ...after };
      const page = await this.client.send(new ListObjectsV2Command(input)).catch((error: unknown) => {
        throw this.trouble(error, 'could not list the bucket');
      });
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined || LastModified === undefined) continue;
        const modifiedAt = Temporal.Instant.fromEpochMilliseconds(LastModified.getTime());
        yield { name: Key, length: Size ?? 0, modifiedAt };
      }
      if (!page.IsTruncated || page.NextContinuationToken === undefined) return;
      after = { ContinuationToken: page.NextContinuationToken };
    }
  }

  /**
   * The version that counts: the first that was ever stored under the key. Later ones and delete markers are another
   * writer's, or somebody's attempt to replace evidence.
   * @returns its id, UNVERSIONED in a bucket that keeps no versions; null when the service says that there is none
   */
  async firstVersion(key: string): Promise<string | null> {
    const name = this.prefix + key;
    if (!(await this.versioned())) {
      for await (const object of this.objects(name)) if (object.name === name) return UNVERSIONED;
      return null;
    }
    let first: string | null = null;
    for await (const version of this.versions(name))
      if (version.name === name && !version.marker) first = version.version;
    return first;
  }

  /** @param version UNVERSIONED where the bucket keeps none */
  address(key: string, version: string): { Bucket: string; Key: string; VersionId?: string } {
    const named = version === UNVERSIONED ? {} : { VersionId: version };
    return { Bucket: this.bucket, Key: this.prefix + key, ...named };
  }

  /** @param version the recorded one, or null for the first. @throws ObjectNotFoundError */
  async head(
    key: string,
    version: string | null,
  ): Promise<{ version: string; answer: HeadObjectCommandOutput }> {
    const wanted = version ?? (await this.firstVersion(key));
    if (wanted === null) throw new ObjectNotFoundError(key);
    try {
      const answer = await this.client.send(new HeadObjectCommand(this.address(key, wanted)));
      return { version: wanted, answer };
    } catch (error) {
      // An answer to HEAD has no body: 404 may as well mean the bucket. Only a listing without the version is positive.
      if (isNamed(error, 'NotFound', 'NoSuchKey', 'NoSuchVersion') && !(await this.#isListed(key, wanted))) {
        throw new ObjectNotFoundError(key, { cause: error });
      }
      throw this.trouble(error, `could not read object ${key}`);
    }
  }

  async #isListed(key: string, version: string): Promise<boolean> {
    const name = this.prefix + key;
    for await (const listed of this.versions(name)) {
      if (listed.name === name && listed.version === version) return true;
    }
    return false;
  }

  /** Sends bytes again that the service says it received otherwise than they were sent. @throws the SDK's own errors */
  async sendBytes<T>(send: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await send();
      } catch (error) {
        if (attempt === ATTEMPTS || !isNamed(error, ...ALTERED_ON_THE_WAY)) throw error;
      }
    }
  }

  /** @returns our own errors as they are, anything else as a ServiceError with a remedy. */
  trouble(error: unknown, what: string): MunimentError {
    if (error instanceof MunimentError) return error;
    const name = error instanceof Error ? error.name : 'unknown error';
    const hint =
      REMEDIES[name] ??
      (error instanceof S3ServiceException && error.$metadata.httpStatusCode !== undefined
        ? 'See the message of the storage service; if it is temporary, run the command again.'
        : `Check that ${this.#where} can be reached from here and that \`store.endpoint\`, or \`--endpoint\` of a backup, is right.`);
    const message = error instanceof Error && error.message ? `${name}: ${error.message}` : name;
    return new ServiceError(`${this.location} (${this.#where}): ${what}: ${message}`, { hint, cause: error });
  }
}

const KEYS_HINT = 'Check the access key, its secret and the clock of this machine.';
const REMEDIES: Readonly<Record<string, string>> = {
  NoSuchBucket:
    'Create the bucket with Object Lock and versioning, or correct `store.bucket` in muniment.yaml, or the address of the backup.',
  AccessDenied:
    'Give the credentials s3:GetObject, s3:GetObjectVersion, s3:PutObject, s3:ListBucket, s3:ListBucketVersions, ' +
    's3:GetBucketVersioning, s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts, s3:AbortMultipartUpload and, with a lock, s3:PutObjectRetention, s3:GetObjectRetention, s3:PutObjectLegalHold ' +
    'and s3:GetObjectLegalHold.',
  InvalidAccessKeyId: KEYS_HINT,
  SignatureDoesNotMatch: KEYS_HINT,
  RequestTimeTooSkewed: 'Set the clock of this machine.',
  CredentialsProviderError:
    'Give credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of this machine.',
  PermanentRedirect:
    'The bucket is in another region: correct `store.region` in muniment.yaml, or `--region` of a backup.',
  QuotaExceeded: 'The storage quota is used up. Raise it, then run the command again.',
};

/** @returns whether the service has said, by the name of its error, that one of these things is so. */
export function isNamed(error: unknown, ...names: string[]): boolean {
  return error instanceof S3ServiceException && names.includes(error.name);
}
