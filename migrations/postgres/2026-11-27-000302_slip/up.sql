-- A slip that a patient was given, with the hash of its code. Which order it is for stands there as a keyed index, once somebody said so.
CREATE TABLE slip (
    reference TEXT NOT NULL PRIMARY KEY,
    clinic TEXT NOT NULL,
    code_sealed BYTEA NOT NULL,
    order_index BYTEA,
    printed_at BIGINT NOT NULL,
    printed_by TEXT NOT NULL,
    bound_at BIGINT,
    bound_by TEXT
);
CREATE INDEX slip_by_order ON slip (order_index);
CREATE INDEX slip_by_time ON slip (printed_at);
