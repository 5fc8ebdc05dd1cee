-- A file of which a person must say that it leaves although it names another patient, or nobody, or could not be looked at: a keyed
-- hash of it, and when a person said so.
CREATE TABLE paper_doubt (
    delivery_id TEXT NOT NULL PRIMARY KEY REFERENCES delivery (id),
    file_index BLOB NOT NULL,
    released_at BIGINT
);
