ALTER TABLE challenge DROP COLUMN unlock_until;
ALTER TABLE challenge DROP COLUMN unlock_sealed;
ALTER TABLE challenge DROP COLUMN unlock_left;
ALTER TABLE challenge DROP COLUMN unlock_by;
