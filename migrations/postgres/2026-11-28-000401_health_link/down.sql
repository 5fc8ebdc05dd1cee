DROP TABLE health_link;
