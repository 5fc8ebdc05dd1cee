-- How many questions about single patients failed in this reading of the past, and were left out.
ALTER TABLE past_search ADD COLUMN left_out BIGINT NOT NULL DEFAULT 0;
