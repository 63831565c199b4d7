-- The archive, version 1. Ledger rows are the exact bytes of entries; every other row that carries `seq` is a projection of the
-- entry at that position and of the document which the entry commits to (src/ledger/FORMAT.md, section 8).
-- Roles are made by the migrator before this file runs: muniment_owner owns, muniment_runtime works, muniment_eraser erases.

-- ---------------------------------------------------------------- ledger
CREATE TABLE ledger_entries (
  seq   bigint PRIMARY KEY CHECK (seq >= 0),
  entry bytea  NOT NULL CHECK (octet_length(entry) BETWEEN 1 AND 65535),
  leaf  bytea  NOT NULL CHECK (octet_length(leaf) = 32)
);
-- Canonical JSON does not compress well enough to be worth a detour through TOAST.
ALTER TABLE ledger_entries ALTER COLUMN entry SET STORAGE EXTERNAL;

-- One row: the sequencer locks it, and compare-and-set moves it.
CREATE TABLE ledger_head (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  size bigint  NOT NULL CHECK (size >= 0),
  root bytea   NOT NULL CHECK (octet_length(root) = 32),
  edge bytea   NOT NULL,
  last bytea   NOT NULL CHECK (octet_length(last) = 32),
  at   timestamptz(3) NOT NULL
);

-- Roots of full subtrees of 256^level entries: what tiles are made of, and receipts read.
CREATE TABLE ledger_subtrees (
  level smallint NOT NULL CHECK (level BETWEEN 1 AND 6),
  n     bigint   NOT NULL CHECK (n >= 0),
  hash  bytea    NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (level, n)
);

CREATE TABLE checkpoints (
  size bigint PRIMARY KEY,
  note text   NOT NULL,
  at   timestamptz(3) NOT NULL
);

-- Bodies of entries, restricted: what an entry only commits to.
CREATE TABLE entry_bodies (
  seq  bigint PRIMARY KEY REFERENCES ledger_entries,
  kind text   NOT NULL,
  salt bytea  NOT NULL CHECK (octet_length(salt) = 32),
  body bytea  NOT NULL
);
CREATE INDEX entry_bodies_by_kind ON entry_bodies (kind, seq);

-- ---------------------------------------------------------------- people and sources
CREATE TABLE accounts (
  id         uuid PRIMARY KEY,
  seq        bigint NOT NULL UNIQUE REFERENCES ledger_entries,
  name       text NOT NULL,
  roles      text[] NOT NULL,
  token_hash bytea
);

CREATE TABLE sources (
  id       uuid PRIMARY KEY,
  seq      bigint NOT NULL REFERENCES ledger_entries,
  name     text NOT NULL UNIQUE,
  platform text NOT NULL
);

-- ---------------------------------------------------------------- what was captured
CREATE TABLE capture_runs (
  id        uuid PRIMARY KEY,
  seq       bigint NOT NULL UNIQUE REFERENCES ledger_entries,
  source_id uuid NOT NULL,
  status    text NOT NULL CHECK (status IN ('complete', 'partial', 'failed')),
  report    text NOT NULL
);

CREATE TABLE records (
  id       uuid PRIMARY KEY,
  seq      bigint NOT NULL UNIQUE REFERENCES ledger_entries,
  platform text NOT NULL,
  kind     text NOT NULL
);

CREATE TABLE record_identities (
  record_id   uuid NOT NULL REFERENCES records,
  seq         bigint NOT NULL REFERENCES ledger_entries,
  platform    text NOT NULL,
  namespace   text,
  platform_id text
);
CREATE UNIQUE INDEX record_identities_once ON record_identities (platform, namespace, platform_id);
CREATE INDEX record_identities_by_record ON record_identities (record_id);

CREATE TABLE record_sources (
  record_id uuid NOT NULL REFERENCES records,
  source_id uuid NOT NULL,
  seq       bigint NOT NULL REFERENCES ledger_entries,
  PRIMARY KEY (record_id, source_id)
);
CREATE INDEX record_sources_by_source ON record_sources (source_id, record_id);

CREATE TABLE snapshots (
  id            uuid PRIMARY KEY,
  seq           bigint NOT NULL UNIQUE REFERENCES ledger_entries,
  record_id     uuid NOT NULL REFERENCES records,
  run_id        uuid NOT NULL,
  version       integer NOT NULL CHECK (version >= 1),
  document      text NOT NULL,
  disclosure    text NOT NULL,
  leaves        integer NOT NULL,
  -- from here on: erased when the record is destroyed
  seed          bytea,
  content       text,
  rule          text,
  captured_at   timestamptz(3),
  url           text,
  author_id     text,
  author_handle text,
  author_name   text,
  created_at    text,
  created_from  text,
  title         text,
  text          text,
  languages     text[],
  tags          text[],
  in_reply_to   text,
  thread_root   text,
  -- media that could not be had yet: a later run tries them again
  media_missing integer,
  UNIQUE (record_id, version)
);
-- The words that search finds a snapshot by. Cut, because one tsvector holds at most 1 MiB.
CREATE FUNCTION snapshot_words(title text, body text, handle text, name text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('simple'::regconfig, left(coalesce(title, '') || ' ' || coalesce(body, '') || ' ' || coalesce(handle, '') || ' ' || coalesce(name, ''), 200000));
CREATE INDEX snapshots_words ON snapshots USING gin (snapshot_words(title, text, author_handle, author_name));
CREATE INDEX snapshots_by_thread ON snapshots USING hash (thread_root);

CREATE TABLE payloads (
  commitment   text PRIMARY KEY CHECK (commitment ~ '^[0-9a-f]{64}$'),
  seq          bigint NOT NULL REFERENCES ledger_entries,
  record_id    uuid,
  run_id       uuid,
  role         text NOT NULL,
  content_type text NOT NULL,
  length       bigint NOT NULL CHECK (length >= 0),
  -- erased when the payload is destroyed
  salt         bytea,
  sha256       text,
  CHECK ((record_id IS NULL) <> (run_id IS NULL))
);
CREATE INDEX payloads_by_record ON payloads (record_id);
CREATE INDEX payloads_by_seq ON payloads (seq);

-- Where the store keeps a payload: not evidence, so no projection.
CREATE TABLE payload_versions (
  commitment text PRIMARY KEY,
  version    text NOT NULL
);

CREATE TABLE record_states (
  seq              bigint PRIMARY KEY REFERENCES ledger_entries,
  record_id        uuid NOT NULL REFERENCES records,
  run_id           uuid NOT NULL,
  state            text NOT NULL CHECK (state IN ('deleted', 'hidden', 'access-lost', 'account-gone', 'restored')),
  last_seen_at     timestamptz(3),
  first_missing_at timestamptz(3),
  seen_at          timestamptz(3),
  document         text NOT NULL
);
CREATE INDEX record_states_by_record ON record_states (record_id, seq);

CREATE TABLE payload_destructions (
  commitment text PRIMARY KEY,
  seq        bigint NOT NULL UNIQUE REFERENCES ledger_entries,
  record_id  uuid NOT NULL,
  intent     bigint NOT NULL
);
CREATE INDEX payload_destructions_by_record ON payload_destructions (record_id, seq);

CREATE TABLE bundles (
  id       uuid PRIMARY KEY,
  seq      bigint NOT NULL UNIQUE REFERENCES ledger_entries,
  size     bigint NOT NULL,
  records  integer NOT NULL,
  manifest text NOT NULL
);

-- ---------------------------------------------------------------- working memory (no evidence; may be lost)
CREATE TABLE sightings (
  record_id uuid NOT NULL,
  source_id uuid NOT NULL,
  seen_at   timestamptz(3) NOT NULL,
  run_id    uuid NOT NULL,
  observations text NOT NULL,
  PRIMARY KEY (source_id, record_id)
);
CREATE TABLE source_states (
  source_id  uuid PRIMARY KEY,
  state      jsonb NOT NULL,
  run_id     uuid NOT NULL
);

-- ---------------------------------------------------------------- append-only, by trigger
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['ledger_entries', 'ledger_subtrees', 'checkpoints', 'entry_bodies', 'capture_runs', 'records',
                              'record_sources', 'record_states', 'payload_destructions', 'bundles'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['snapshots', 'payloads', 'record_identities'] LOOP
    EXECUTE format('CREATE TRIGGER no_removal BEFORE DELETE OR TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
  END LOOP;
END $$;

-- A row may be erased (columns set to NULL), never rewritten: the trigger holds the eraser itself to that.
CREATE FUNCTION only_erase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM jsonb_each(to_jsonb(NEW)) AS n (key, value) JOIN jsonb_each(to_jsonb(OLD)) AS o (key, value) USING (key)
    WHERE n.value IS DISTINCT FROM o.value AND n.value <> 'null'::jsonb
  ) THEN
    RAISE EXCEPTION '% rows can be erased, not rewritten', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER only_erase BEFORE UPDATE ON snapshots FOR EACH ROW EXECUTE FUNCTION only_erase();
CREATE TRIGGER only_erase BEFORE UPDATE ON payloads FOR EACH ROW EXECUTE FUNCTION only_erase();
CREATE TRIGGER only_erase BEFORE UPDATE ON record_identities FOR EACH ROW EXECUTE FUNCTION only_erase();

-- ---------------------------------------------------------------- append-only, by grant
GRANT USAGE ON SCHEMA public TO muniment_runtime, muniment_eraser;
GRANT EXECUTE ON FUNCTION snapshot_words TO muniment_runtime, muniment_eraser;
GRANT SELECT, INSERT ON
  ledger_entries, ledger_subtrees, checkpoints, entry_bodies, accounts, sources, capture_runs, records, record_identities,
  record_sources, snapshots, payloads, payload_versions, record_states, payload_destructions, bundles TO muniment_runtime;
GRANT SELECT, UPDATE ON ledger_head TO muniment_runtime;
GRANT INSERT ON ledger_head TO muniment_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON sightings, source_states TO muniment_runtime;
-- Accounts and sources change; each change is an entry whose body the row repeats.
GRANT UPDATE ON accounts, sources TO muniment_runtime;
GRANT SELECT ON snapshots, payloads, record_identities, payload_destructions, sightings, payload_versions TO muniment_eraser;
GRANT UPDATE (seed, content, rule, captured_at, url, author_id, author_handle, author_name, created_at, created_from, title, text,
              languages, tags, in_reply_to, thread_root, media_missing) ON snapshots TO muniment_eraser;
GRANT UPDATE (salt, sha256) ON payloads TO muniment_eraser;
GRANT UPDATE (namespace, platform_id) ON record_identities TO muniment_eraser;
GRANT DELETE ON sightings, payload_versions TO muniment_eraser;

-- ---------------------------------------------------------------- auditors' views: no text, author, address or platform id
CREATE VIEW audit_records AS SELECT id, seq, platform, kind FROM records;
CREATE VIEW audit_snapshots AS SELECT id, seq, record_id, run_id, version, document, disclosure, leaves FROM snapshots;
CREATE VIEW audit_payloads AS SELECT commitment, seq, record_id, run_id, role, content_type, length, salt IS NULL AS erased FROM payloads;
