-- A report is followed once for each of its recipients: the patient (an empty index), and others whom the rules speak of.
-- SQLite cannot take a constraint from a table: it is made anew. Whoever runs this lets no foreign key be checked meanwhile.
CREATE TABLE source_of_one (
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
    lease_holder TEXT,
    urgent_at BIGINT,
    backfilled_at BIGINT,
    addressee_index BLOB NOT NULL DEFAULT X'',
    recipient TEXT NOT NULL DEFAULT 'patient',
    others_since BIGINT,
    UNIQUE (ehr, kind, resource_id, addressee_index)
);
INSERT INTO source_of_one
SELECT id, ehr, kind, resource_id, clinic, heard_at, heard_count, heard_version, due_at, lease_until, tries, read_at,
    read_version, status, content_hash, subject_index, gone_at, why, lease_holder, urgent_at, backfilled_at, X'', 'patient', NULL
FROM source;
DROP TABLE source;
ALTER TABLE source_of_one RENAME TO source;
CREATE INDEX source_gone ON source (ehr, gone_at) WHERE gone_at IS NOT NULL;
CREATE INDEX source_ehr_due ON source (ehr, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX source_urgent ON source (ehr, urgent_at) WHERE urgent_at IS NOT NULL;
CREATE INDEX source_left ON source (ehr) WHERE due_at IS NULL AND why IS NOT NULL;

ALTER TABLE delivery ADD COLUMN addressee_index BLOB NOT NULL DEFAULT X'';
-- Without the patients: each is equal to every other, and either database would go through them all.
CREATE INDEX delivery_addressee ON delivery (addressee_index) WHERE addressee_index <> X'';
