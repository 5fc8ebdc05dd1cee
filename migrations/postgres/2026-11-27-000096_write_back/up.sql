-- What an EHR is told of a delivery: an outbox of its own. A Task stays here while it is open at the EHR.
CREATE TABLE write_back (
    id TEXT NOT NULL PRIMARY KEY,
    ehr TEXT NOT NULL,
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    link_id TEXT,
    fact TEXT NOT NULL,
    resource TEXT NOT NULL,
    at BIGINT NOT NULL,
    about TEXT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT,
    lease_until BIGINT,
    lease_holder TEXT,
    tries INTEGER NOT NULL,
    over_at BIGINT,
    remote_id TEXT,
    ended_at BIGINT,
    why TEXT
);
CREATE INDEX write_back_due ON write_back (ehr, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX write_back_of_delivery ON write_back (delivery_id);
CREATE INDEX write_back_of_link ON write_back (link_id) WHERE link_id IS NOT NULL;
CREATE INDEX write_back_ended ON write_back (ended_at) WHERE ended_at IS NOT NULL;
