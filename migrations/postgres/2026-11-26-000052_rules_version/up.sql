-- Versions of the rules. A version is named by the hash of what it says; its text is kept for ever, since decisions name it.
CREATE TABLE rules_version (
    hash TEXT PRIMARY KEY NOT NULL,
    rules_id TEXT NOT NULL,
    version TEXT NOT NULL,
    bundle TEXT NOT NULL,
    author TEXT NOT NULL,
    proposed_at BIGINT NOT NULL,
    note TEXT,
    state TEXT NOT NULL,
    approver TEXT,
    approved_at BIGINT
);

-- From when on which version is in force. One version may come into force several times.
CREATE TABLE rules_activation (
    n BIGSERIAL PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL REFERENCES rules_version (hash),
    effective_at BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    kind TEXT NOT NULL
);
CREATE INDEX rules_activation_effective ON rules_activation (effective_at, n);
