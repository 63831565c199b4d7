-- What credentials of metered platforms have spent in the period they are in: working memory, counted before every call, so that neither a
-- restart nor another worker spends it twice.
CREATE TABLE units_spent (
  credential text PRIMARY KEY,
  period     text NOT NULL,
  units      bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON units_spent TO muniment_runtime;
