DROP TABLE question;
DROP TABLE answered;
DROP TABLE asked;
DROP TABLE challenge;
