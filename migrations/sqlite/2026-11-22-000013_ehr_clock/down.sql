ALTER TABLE poll DROP COLUMN clock_off_ms;
ALTER TABLE poll DROP COLUMN search_from;
