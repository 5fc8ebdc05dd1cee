-- What was recorded of an address: for one clinic and one patient, both address and patient as keyed indexes alone. Without a
-- row nothing was.
CREATE TABLE contact (
    clinic TEXT NOT NULL,
    patient_index BYTEA NOT NULL,
    contact_index BYTEA NOT NULL,
    state TEXT NOT NULL,
    state_at BIGINT NOT NULL,
    set_by TEXT,
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    PRIMARY KEY (patient_index, contact_index, clinic)
);
CREATE INDEX contact_by_time ON contact (state_at);
