-- Where searches begin, by the EHR's own clock; none: where polling began.
ALTER TABLE poll ADD COLUMN search_from BIGINT;
-- How far the EHR's clock was ahead of ours when it last told the time; behind: less than zero.
ALTER TABLE poll ADD COLUMN clock_off_ms BIGINT;
