-- Whoever holds a link that ended wants another; when it was looked whether they may have it without staff, and
-- when one was made.
CREATE TABLE wish (
    link_id TEXT NOT NULL PRIMARY KEY REFERENCES link (id),
    asked_at BIGINT NOT NULL,
    looked_at BIGINT,
    answered_at BIGINT
);
CREATE INDEX wish_by_time ON wish (asked_at);
