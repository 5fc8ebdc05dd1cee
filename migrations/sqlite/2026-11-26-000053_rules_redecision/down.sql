DROP TABLE rules_redecision;
