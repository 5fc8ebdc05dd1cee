-- The keyed hash of what was sealed: tells whether a corrected report's file is another one. Emptied with the tombstone.
ALTER TABLE sealed_file ADD COLUMN plain_index BYTEA;
