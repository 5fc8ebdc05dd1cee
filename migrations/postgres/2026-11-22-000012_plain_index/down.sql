ALTER TABLE sealed_file DROP COLUMN plain_index;
