-- What other rules would decide about what is on its way, where a person has to say so.
CREATE TABLE rules_redecision (
    delivery_id TEXT PRIMARY KEY NOT NULL REFERENCES delivery (id),
    rules_hash TEXT NOT NULL,
    verdict TEXT NOT NULL,
    decision TEXT NOT NULL,
    trace TEXT NOT NULL,
    state_detail TEXT NOT NULL,
    noted_at BIGINT NOT NULL
);
