DROP TABLE former_link;
