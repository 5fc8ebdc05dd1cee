-- Which document, of which versions of its sources, was decided about, where Chartseal writes it itself: a keyed hash.
CREATE TABLE paper (
    delivery_id TEXT NOT NULL PRIMARY KEY REFERENCES delivery (id),
    paper_index BYTEA NOT NULL
);
