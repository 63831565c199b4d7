-- Runs that began and have not ended: working memory, from which a run that was killed is told. A run takes its row with its last entry.
CREATE TABLE runs_begun (
  source_id  uuid PRIMARY KEY,
  run_id     uuid NOT NULL,
  started_at timestamptz(3) NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON runs_begun TO muniment_runtime;
