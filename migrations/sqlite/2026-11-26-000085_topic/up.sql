-- One topic-based subscription per EHR: how it stands, when it was last heard, and which events arrived by number. What
-- is missing is kept in ranges, so that every replica sees the same gaps and a counter that leaps costs one row.
CREATE TABLE topic (
    ehr TEXT NOT NULL PRIMARY KEY,
    remote_id TEXT,
    status TEXT NOT NULL,
    terms TEXT,
    next_at BIGINT NOT NULL,
    lease_until BIGINT,
    lease_holder TEXT,
    tries INTEGER NOT NULL DEFAULT 0,
    why TEXT,
    asked_at BIGINT,
    heard_at BIGINT,
    beat_at BIGINT,
    numbered TEXT,
    highest BIGINT
);

CREATE TABLE event_gap (
    ehr TEXT NOT NULL,
    first_number BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (ehr, first_number)
);
