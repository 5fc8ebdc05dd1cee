-- What tells that two resources of the EHR are one document, as keyed hashes that only the same patient's have in common.
CREATE TABLE likeness (
    mark BYTEA NOT NULL,
    source_id TEXT NOT NULL REFERENCES source (id),
    kind TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    noted_at BIGINT NOT NULL,
    PRIMARY KEY (mark, source_id)
);
CREATE INDEX likeness_source ON likeness (source_id);
CREATE INDEX likeness_noted ON likeness (noted_at);
-- Resources that are one document, and what the rules last said of each.
CREATE TABLE twin (
    source_id TEXT NOT NULL PRIMARY KEY REFERENCES source (id),
    family TEXT NOT NULL,
    decision TEXT,
    trace TEXT,
    rules_hash TEXT,
    noted_at BIGINT NOT NULL
);
CREATE INDEX twin_family ON twin (family);
-- Documents that another replaces, whether they are known here or not.
CREATE TABLE replacement (
    ehr TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    by_source TEXT NOT NULL REFERENCES source (id),
    PRIMARY KEY (ehr, resource_id, by_source)
);
CREATE INDEX replacement_by ON replacement (by_source);
-- What the EHR said of a report that is out is read before anything else.
ALTER TABLE source ADD COLUMN urgent_at BIGINT;
CREATE INDEX source_urgent ON source (ehr, urgent_at) WHERE urgent_at IS NOT NULL;
