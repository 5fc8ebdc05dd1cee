DROP TABLE operator;
