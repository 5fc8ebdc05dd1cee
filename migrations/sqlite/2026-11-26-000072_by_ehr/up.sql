-- What is due is looked for EHR by EHR: whatever one leaves lying, the others' is found at once.
CREATE INDEX source_ehr_due ON source (ehr, due_at) WHERE due_at IS NOT NULL;
DROP INDEX source_due;
CREATE INDEX delivery_ehr_due ON delivery (ehr, due_at) WHERE due_at IS NOT NULL;
DROP INDEX delivery_due;
