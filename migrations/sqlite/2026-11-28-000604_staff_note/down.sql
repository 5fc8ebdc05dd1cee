DROP TABLE staff_note;
