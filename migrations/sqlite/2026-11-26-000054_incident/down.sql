DROP TABLE incident_delivery;
DROP TABLE incident;
