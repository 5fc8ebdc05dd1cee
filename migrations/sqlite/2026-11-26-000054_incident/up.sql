-- Something went wrong: which deliveries, who said so, and what became of each.
CREATE TABLE incident (
    n INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    why TEXT NOT NULL,
    criteria TEXT NOT NULL,
    proposed_by TEXT NOT NULL,
    proposed_at BIGINT NOT NULL,
    approved_by TEXT,
    approved_at BIGINT,
    ended_at BIGINT
);

CREATE TABLE incident_delivery (
    incident BIGINT NOT NULL REFERENCES incident (n),
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    state_before TEXT NOT NULL,
    outcome TEXT,
    opened BIGINT,
    settled_at BIGINT,
    PRIMARY KEY (incident, delivery_id)
);
