CREATE INDEX delivery_due ON delivery (due_at) WHERE due_at IS NOT NULL;
DROP INDEX delivery_ehr_due;
CREATE INDEX source_due ON source (due_at);
DROP INDEX source_ehr_due;
