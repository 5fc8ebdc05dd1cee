DROP TABLE event_gap;
DROP TABLE topic;
