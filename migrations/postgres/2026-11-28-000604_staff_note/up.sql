-- What staff say to the patient beside a document. Goes with the contact.
CREATE TABLE staff_note (
    delivery_id TEXT NOT NULL PRIMARY KEY REFERENCES delivery (id),
    note_sealed BYTEA NOT NULL
);
