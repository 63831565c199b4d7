-- Which rules of watch words matched which versions, and by which channels that was told. Working memory: the rules in force make it again.
CREATE TABLE record_tags (
  record_id   uuid NOT NULL,
  snapshot_id uuid NOT NULL,
  rule        text NOT NULL,
  tag         text NOT NULL,
  at_once     boolean NOT NULL,
  found_at    timestamptz(3) NOT NULL,
  told        text[] NOT NULL DEFAULT '{}',
  PRIMARY KEY (snapshot_id, rule)
);
CREATE INDEX record_tags_by_record ON record_tags (record_id, tag);
CREATE INDEX record_tags_by_time ON record_tags (found_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON record_tags TO muniment_runtime;
GRANT SELECT, DELETE ON record_tags TO muniment_eraser;
