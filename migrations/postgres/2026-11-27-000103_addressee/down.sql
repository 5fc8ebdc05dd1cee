-- Fails once a report is followed for others than its patient: their deliveries would be nobody's.
ALTER TABLE source DROP CONSTRAINT source_ehr_kind_resource_id_addressee_index_key;
ALTER TABLE source ADD CONSTRAINT source_ehr_kind_resource_id_key UNIQUE (ehr, kind, resource_id);
ALTER TABLE source DROP COLUMN addressee_index;
ALTER TABLE source DROP COLUMN others_since;
ALTER TABLE source DROP COLUMN recipient;
DROP INDEX delivery_addressee;
ALTER TABLE delivery DROP COLUMN addressee_index;
