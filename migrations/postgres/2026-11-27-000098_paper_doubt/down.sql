DROP TABLE paper_doubt;
