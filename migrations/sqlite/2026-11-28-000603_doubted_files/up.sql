-- A report may consist of several files, and each may be doubted.
ALTER TABLE paper_doubt RENAME TO paper_doubt_before;
CREATE TABLE paper_doubt (
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    file_index BLOB NOT NULL,
    released_at BIGINT,
    PRIMARY KEY (delivery_id, file_index)
);
INSERT INTO paper_doubt (delivery_id, file_index, released_at)
    SELECT delivery_id, file_index, released_at FROM paper_doubt_before;
DROP TABLE paper_doubt_before;
