-- A report is followed once for each of its recipients: the patient (an empty index), and others whom the rules speak of.
ALTER TABLE source ADD COLUMN addressee_index BYTEA NOT NULL DEFAULT '';
ALTER TABLE source ADD COLUMN recipient TEXT NOT NULL DEFAULT 'patient';
ALTER TABLE source ADD COLUMN others_since BIGINT;
ALTER TABLE source DROP CONSTRAINT source_ehr_kind_resource_id_key;
ALTER TABLE source ADD CONSTRAINT source_ehr_kind_resource_id_addressee_index_key
    UNIQUE (ehr, kind, resource_id, addressee_index);

ALTER TABLE delivery ADD COLUMN addressee_index BYTEA NOT NULL DEFAULT '';
-- Without the patients: each is equal to every other, and either database would go through them all.
CREATE INDEX delivery_addressee ON delivery (addressee_index) WHERE addressee_index <> '';
