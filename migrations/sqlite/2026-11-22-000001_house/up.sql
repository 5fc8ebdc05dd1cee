-- Times are UTC milliseconds; ids, enums and JSON are text; a column named *_sealed holds ciphertext.

CREATE TABLE control (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    set_by TEXT NOT NULL
);

CREATE TABLE key_mark (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    PRIMARY KEY (kind, name)
);

CREATE TABLE audit_line (
    n INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    clinic TEXT,
    body TEXT NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (chain, seq)
);
CREATE INDEX audit_line_at ON audit_line (at);

-- What an EHR said, as it said it; emptied once the reference is extracted.
CREATE TABLE event (
    id TEXT PRIMARY KEY NOT NULL,
    ehr TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    method TEXT NOT NULL,
    path_kind TEXT,
    path_id TEXT,
    sha256 TEXT NOT NULL,
    body_bytes BIGINT NOT NULL,
    body_sealed BLOB,
    body_key TEXT,
    due_at BIGINT,
    lease_until BIGINT,
    tries INTEGER NOT NULL DEFAULT 0,
    why TEXT
);
CREATE INDEX event_due ON event (due_at);
CREATE INDEX event_received ON event (received_at);

-- One resource of one EHR that Chartseal follows.
CREATE TABLE source (
    id TEXT PRIMARY KEY NOT NULL,
    ehr TEXT NOT NULL,
    kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    clinic TEXT,
    heard_at BIGINT NOT NULL,
    heard_count BIGINT NOT NULL,
    heard_version TEXT,
    due_at BIGINT,
    lease_until BIGINT,
    tries INTEGER NOT NULL DEFAULT 0,
    read_at BIGINT,
    read_version TEXT,
    status TEXT,
    content_hash BLOB,
    subject_index BLOB,
    gone_at BIGINT,
    why TEXT,
    UNIQUE (ehr, kind, resource_id)
);
CREATE INDEX source_due ON source (due_at);

-- One report on its way to one recipient under one decision.
CREATE TABLE delivery (
    id TEXT PRIMARY KEY NOT NULL,
    source_id TEXT NOT NULL REFERENCES source (id),
    ehr TEXT NOT NULL,
    clinic TEXT,
    report_version TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    recipient TEXT NOT NULL,
    issue_no INTEGER NOT NULL,
    mode TEXT NOT NULL,
    kind TEXT NOT NULL,
    row_version BIGINT NOT NULL,
    state TEXT NOT NULL,
    state_detail TEXT NOT NULL,
    state_at BIGINT NOT NULL,
    due_at BIGINT,
    lease_until BIGINT,
    tries INTEGER NOT NULL DEFAULT 0,
    decision TEXT NOT NULL,
    facts TEXT NOT NULL,
    trace TEXT NOT NULL,
    rules_hash TEXT NOT NULL,
    card_sealed BLOB,
    contact_index BLOB,
    patient_index BLOB,
    link_id TEXT,
    replaces TEXT,
    created_at BIGINT NOT NULL,
    UNIQUE (source_id, report_version, recipient, issue_no)
);
CREATE INDEX delivery_state ON delivery (state, due_at);
CREATE INDEX delivery_source ON delivery (source_id);
CREATE INDEX delivery_created ON delivery (created_at);
CREATE INDEX delivery_contact ON delivery (contact_index);
CREATE INDEX delivery_patient ON delivery (patient_index);
CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX delivery_link ON delivery (link_id);

-- The key material and the life of one link. The columns that can open anything are emptied at its death.
CREATE TABLE link (
    id TEXT PRIMARY KEY NOT NULL,
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    reference TEXT NOT NULL,
    report_version TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    life_seconds BIGINT NOT NULL,
    expires_at BIGINT,
    opens_max INTEGER NOT NULL,
    opened INTEGER NOT NULL DEFAULT 0,
    share_wrapped BLOB,
    epoch TEXT NOT NULL,
    auth_sealed BLOB,
    receipt_sealed BLOB,
    ended_at BIGINT,
    shredded_at BIGINT,
    files_removed_at BIGINT
);
CREATE INDEX link_delivery ON link (delivery_id);
CREATE INDEX link_reference ON link (reference);
-- The dead outnumber the living: what the sweep looks for is indexed alone.
CREATE INDEX link_expires ON link (expires_at) WHERE shredded_at IS NULL;
CREATE INDEX link_epoch ON link (epoch) WHERE shredded_at IS NULL;
CREATE INDEX link_files ON link (shredded_at) WHERE files_removed_at IS NULL;

CREATE TABLE sealed_file (
    link_id TEXT NOT NULL REFERENCES link (id),
    number INTEGER NOT NULL,
    blob TEXT NOT NULL,
    media TEXT NOT NULL,
    plain_bytes BIGINT NOT NULL,
    sealed_bytes BIGINT NOT NULL,
    PRIMARY KEY (link_id, number)
);

CREATE TABLE opening (
    id TEXT PRIMARY KEY NOT NULL,
    link_id TEXT NOT NULL REFERENCES link (id),
    cookie_hash BLOB NOT NULL,
    state TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    claimed_at BIGINT,
    lease_until BIGINT,
    ended_at BIGINT
);
-- A browser has at most one opening under way; a later one costs another of the link's openings.
CREATE UNIQUE INDEX opening_running ON opening (link_id, cookie_hash) WHERE state IN ('begun', 'claimed');
CREATE INDEX opening_lease ON opening (state, lease_until);

CREATE TABLE notice (
    id TEXT PRIMARY KEY NOT NULL,
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    link_id TEXT NOT NULL REFERENCES link (id),
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    lease_until BIGINT,
    attempts INTEGER NOT NULL,
    ambiguous INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    first_attempt_at BIGINT,
    ended_at BIGINT,
    secret_sealed BLOB,
    secret_key TEXT,
    why TEXT
);
CREATE INDEX notice_due ON notice (state, due_at);
CREATE INDEX notice_delivery ON notice (delivery_id);
CREATE INDEX notice_first_attempt ON notice (first_attempt_at);

-- A patient's own key for the audit's pseudonyms. Destroying it forgets them.
CREATE TABLE patient (
    patient_index BLOB PRIMARY KEY NOT NULL,
    key_sealed BLOB,
    created_at BIGINT NOT NULL,
    forgotten_at BIGINT
);

CREATE TABLE poll (
    ehr TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    watermark BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    lease_until BIGINT,
    last_ok_at BIGINT,
    why TEXT,
    PRIMARY KEY (ehr, kind)
);

CREATE TABLE subscription (
    ehr TEXT NOT NULL,
    kind TEXT NOT NULL,
    remote_id TEXT,
    status TEXT NOT NULL,
    next_at BIGINT NOT NULL,
    lease_until BIGINT,
    tries INTEGER NOT NULL DEFAULT 0,
    why TEXT,
    PRIMARY KEY (ehr, kind)
);
