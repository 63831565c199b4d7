-- An archive can move to another store, and a version id means something only in the store that gave it. A row with no version says that
-- the payload was stored, and read back, in a store that has none. Rows from before this migration ('') are of the store of that time.
ALTER TABLE payload_versions ADD COLUMN store text NOT NULL DEFAULT '';
ALTER TABLE payload_versions ALTER COLUMN store DROP DEFAULT;
ALTER TABLE payload_versions ALTER COLUMN version DROP NOT NULL;
ALTER TABLE payload_versions DROP CONSTRAINT payload_versions_pkey;
ALTER TABLE payload_versions ADD PRIMARY KEY (commitment, store);
-- A store that was emptied and filled again gives new version ids. A row that names a wrong one makes no payload pass for another: the
-- commitment decides.
GRANT UPDATE (version) ON payload_versions TO muniment_runtime;
