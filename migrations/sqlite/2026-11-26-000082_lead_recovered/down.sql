ALTER TABLE operator DROP COLUMN recovered_at;
