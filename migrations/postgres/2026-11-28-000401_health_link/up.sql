-- What a health app may fetch of a link, as a SMART Health Link: one encrypted file, whose key lies in a sealed file of the link.
-- Emptied with the link, but for the name of the file, which goes when that is removed. Wrong passcodes are counted for life.
CREATE TABLE health_link (
    link_id TEXT NOT NULL PRIMARY KEY REFERENCES link (id),
    id_index BYTEA UNIQUE,
    passcode_sealed BYTEA,
    attempts_left INTEGER NOT NULL,
    blob TEXT NOT NULL UNIQUE,
    file_bytes BIGINT NOT NULL
);
