DROP INDEX source_urgent;
ALTER TABLE source DROP COLUMN urgent_at;
DROP TABLE replacement;
DROP TABLE twin;
DROP TABLE likeness;
