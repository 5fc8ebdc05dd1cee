ALTER TABLE source DROP COLUMN backfilled_at;
DROP TABLE past_search;
DROP TABLE panel_patient;
DROP TABLE look;
