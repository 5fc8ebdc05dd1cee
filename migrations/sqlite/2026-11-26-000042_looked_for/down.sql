DROP INDEX source_gone;
