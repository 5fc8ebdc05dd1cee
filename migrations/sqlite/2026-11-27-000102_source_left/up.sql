-- What a process left lying that did not know its EHR is looked for at each start: few have a reason and are not due.
CREATE INDEX source_left ON source (ehr) WHERE due_at IS NULL AND why IS NOT NULL;
