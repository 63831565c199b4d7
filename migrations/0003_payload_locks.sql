-- Until when a store itself refuses to remove a payload, as it said last: what renewal goes by. Working memory, no evidence: a row that is
-- missing or wrong is put right from the store.
CREATE TABLE payload_locks (
  commitment   text NOT NULL,
  store        text NOT NULL,
  locked_until timestamptz(3) NOT NULL,
  -- policy lets the lock end: the payload's retention has run. As of the last renewal.
  may_lapse    boolean NOT NULL DEFAULT false,
  PRIMARY KEY (commitment, store)
);
CREATE INDEX payload_locks_by_end ON payload_locks (store, locked_until) WHERE NOT may_lapse;
GRANT SELECT, INSERT, UPDATE, DELETE ON payload_locks TO muniment_runtime;
GRANT SELECT, DELETE ON payload_locks TO muniment_eraser;
