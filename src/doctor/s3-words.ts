// What each trial of a bucket means when it holds and when it does not, and how to mend that.

import type { Words } from './check.ts';

const RIGHT_BUCKET =
  'Use a bucket that was made with Object Lock, on a service that enforces it, or say it honestly: `store.lock: none`.';

export const VERSIONING: Words = {
  id: 'store.versioning',
  tried: 'to put two objects under one name',
  held: 'What is put later does not replace what stands.',
  notHeld: 'A later put would replace a payload, and nothing can be locked.',
  fix: 'Enable versioning on the bucket (better: make one with Object Lock).',
  severity: 'bad',
};
export const LOCKED: Words = {
  id: 'store.lock.enabled',
  tried: 'to put an object under a lock of a minute',
  held: 'The bucket takes locks.',
  notHeld:
    'Payloads would not be locked, though muniment.yaml claims it: `collect` and `serve` refuse to start.',
  fix: `${RIGHT_BUCKET} The credentials need s3:PutObjectRetention and s3:GetObjectRetention.`,
  severity: 'bad',
};
export const DELETE: Words = {
  id: 'store.lock.delete-refused',
  tried: 'to delete a locked version, alone and in bulk',
  held: 'A lock keeps a payload until its date.',
  notHeld: 'The lock keeps nothing, though muniment.yaml claims it: `collect` and `serve` refuse to start.',
  fix: `${RIGHT_BUCKET} If these credentials may delete nothing at all, run \`muniment doctor\` once with some that may.`,
  severity: 'bad',
};
export const SHORTEN: Words = {
  id: 'store.lock.shorten-refused',
  tried: 'to shorten a lock, and to take it off',
  held: 'A lock is never shortened.',
  notHeld: 'A lock can be shortened at will, so it keeps nothing: `collect` and `serve` refuse to start.',
  fix: RIGHT_BUCKET,
  severity: 'bad',
};
export const EXTEND: Words = {
  id: 'store.lock.extend',
  tried: 'to extend a lock',
  held: 'Locks can be renewed before they end.',
  notHeld: 'Locks cannot be renewed: payloads lose theirs at the end of the horizon.',
  fix: 'Give the credentials s3:PutObjectRetention.',
  severity: 'bad',
};
export const HOLD: Words = {
  id: 'store.legal-hold',
  tried: 'to put a legal hold on an object, to delete that, and to take the hold off',
  held: "The service's own legal holds work.",
  notHeld: "A hold of the archive cannot be backed by the service's own.",
  fix: 'Give the credentials s3:PutObjectLegalHold, or do without: the archive itself destroys nothing under a hold.',
  severity: 'note',
};
export const ERASE: Words = {
  id: 'store.erase',
  tried: 'to delete an object without a lock, for good',
  held: 'Lawful destruction can be carried out.',
  notHeld:
    'Nothing can be destroyed lawfully with these credentials (which is right for a worker that only captures), and refusals of deletion say nothing of the lock.',
  fix: 'Give s3:DeleteObjectVersion to the credentials that disposition and `muniment doctor` run with.',
  severity: 'note',
};
export const ENCRYPTION: Words = {
  id: 'store.encryption',
  tried: "to put an object encrypted with the key of the service's key service (store.encryption)",
  held: 'Payloads are encrypted at rest with that key: without it nobody reads them, nor does the archive.',
  notHeld: 'No payload can be stored as muniment.yaml asks.',
  fix: 'Give the service that key, and the credentials kms:GenerateDataKey and kms:Decrypt on it; or leave `store.encryption` out.',
  severity: 'bad',
};
export const OVERWRITE: Words = {
  id: 'store.overwrite',
  tried: 'to put other bytes over an object',
  held: 'The archive reads by version id, so what is put over a payload does not change what is read.',
  notHeld: 'Only `If-None-Match` stands between a payload and another put.',
  fix: 'Enable versioning on the bucket.',
  severity: 'bad',
};
export const IF_NONE_MATCH: Words = {
  id: 'store.if-none-match',
  tried: 'to put a second object on condition that there is none (If-None-Match)',
  held: 'Of two writers at once, the service itself refuses one.',
  notHeld:
    'The service does not honour the condition. In a bucket that keeps versions nothing is lost: the first version is the payload, and a second is an extra of equal bytes.',
  fix: 'Nothing must be done; a service that honours it spares the extra versions.',
  severity: 'note',
};
export const CHECKSUM: Words = {
  id: 'store.checksum',
  tried: 'to put an object with a SHA-256 checksum that is wrong',
  held: 'Bytes that are damaged on the way are refused.',
  notHeld:
    'The service does not look at the checksum. The archive reads back what it has put, and checks the digest on every read.',
  fix: 'Nothing must be done; a service that verifies it finds damage sooner.',
  severity: 'note',
};
export const SIGNED_DIGEST: Words = {
  id: 'store.signed-digest',
  tried: 'to put an object that is signed as having another digest (x-amz-content-sha256)',
  held: 'Bytes that are damaged on the way do not fit their signature, and are refused.',
  notHeld: 'The service does not look at the digest that it was signed for.',
  fix: 'Nothing must be done; the archive reads back what it has put.',
  severity: 'note',
};
export const MD5: Words = {
  id: 'store.content-md5',
  tried: 'to put an object with a Content-MD5 that is wrong',
  held: 'Bytes that are damaged on the way are refused by this older checksum.',
  notHeld: 'The service does not look at this older checksum either.',
  fix: 'Nothing must be done.',
  severity: 'note',
};
export const LIFE_CYCLE: Words = {
  id: 'store.lifecycle',
  tried: "what the bucket's life cycle removes by itself",
  held: 'The bucket removes nothing by itself.',
  notHeld: 'The bucket itself removes payloads once their lock has ended: destroyed without authority.',
  fix: 'Remove these rules. One that aborts incomplete multipart uploads is good to have.',
  severity: 'bad',
};
