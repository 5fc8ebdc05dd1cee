-- What may still be said of a link that nobody opened: when a reminder is due, the link's secret where the rules keep it until
-- then, and since when somebody should call. The row goes when the link is opened.
CREATE TABLE reminder (
    link_id TEXT NOT NULL PRIMARY KEY REFERENCES link (id),
    due_at BIGINT,
    secret_sealed BYTEA,
    call_since BIGINT,
    called_at BIGINT,
    called_by TEXT
);
CREATE INDEX reminder_by_due ON reminder (due_at);
CREATE INDEX reminder_by_call ON reminder (call_since);
