DELETE FROM paper_doubt WHERE rowid NOT IN (SELECT MAX(rowid) FROM paper_doubt GROUP BY delivery_id);
ALTER TABLE paper_doubt RENAME TO paper_doubt_before;
CREATE TABLE paper_doubt (
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    file_index BLOB NOT NULL,
    released_at BIGINT,
    PRIMARY KEY (delivery_id)
);
INSERT INTO paper_doubt (delivery_id, file_index, released_at)
    SELECT delivery_id, file_index, released_at FROM paper_doubt_before;
DROP TABLE paper_doubt_before;
