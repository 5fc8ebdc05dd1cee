-- Who may act. Of a key only its keyed hash is kept; a name belongs to one person for ever.
CREATE TABLE operator (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    key_mac BLOB NOT NULL,
    key_made_at BIGINT NOT NULL,
    added_at BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    ended_at BIGINT,
    ended_by TEXT
);
