-- When a lead last got a key by root's word, without showing one.
ALTER TABLE operator ADD COLUMN recovered_at BIGINT;
