DROP TABLE opt_out;
ALTER TABLE notice DROP COLUMN arrived_at;
