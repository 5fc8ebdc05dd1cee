DROP TABLE staff_mail;
ALTER TABLE link DROP COLUMN notify;
ALTER TABLE link DROP COLUMN download;
ALTER TABLE link DROP COLUMN view_seconds;
