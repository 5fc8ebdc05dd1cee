ALTER TABLE past_search DROP COLUMN left_out;
