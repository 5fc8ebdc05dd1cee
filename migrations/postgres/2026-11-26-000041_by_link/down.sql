DROP INDEX notice_link;
DROP INDEX opening_link;
