DROP INDEX source_left;
