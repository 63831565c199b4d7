-- How the sources are, as their last runs showed it; what was told of it to whom; and which hosts are left alone for a while. Working memory:
-- the next runs make it again.
CREATE TABLE run_health (
  source_id    uuid PRIMARY KEY,
  run_id       uuid NOT NULL,
  codes        text[] NOT NULL,
  -- JSON: {name: count}, and {name: {count, at}} of before an odd fall
  figures      text NOT NULL,
  usual        text NOT NULL,
  -- when its latest items were created
  newest       text[] NOT NULL,
  -- seconds by which this machine's clock is ahead of the platform's
  clock_offset integer,
  renamed_at   timestamptz(3)
);
CREATE TABLE alerts_told (
  finding  text NOT NULL,
  channel  text NOT NULL,
  since    timestamptz(3) NOT NULL,
  told_at  timestamptz(3) NOT NULL,
  times    integer NOT NULL,
  PRIMARY KEY (finding, channel)
);
CREATE TABLE hosts_left_alone (
  host       text NOT NULL,
  credential text NOT NULL,
  failures   integer NOT NULL,
  until      timestamptz(3),
  PRIMARY KEY (host, credential)
);
GRANT SELECT, INSERT, UPDATE ON run_health TO muniment_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON alerts_told, hosts_left_alone TO muniment_runtime;
