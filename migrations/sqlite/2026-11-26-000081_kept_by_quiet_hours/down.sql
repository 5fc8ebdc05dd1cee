DROP INDEX delivery_kept;
ALTER TABLE delivery DROP COLUMN kept_at;
