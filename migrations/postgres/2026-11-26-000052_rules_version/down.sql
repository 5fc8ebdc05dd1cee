DROP TABLE rules_activation;
DROP TABLE rules_version;
