DROP TABLE write_back;
