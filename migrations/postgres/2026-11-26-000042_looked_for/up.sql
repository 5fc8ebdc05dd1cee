-- What vanished at an EHR is counted at each reading that finds another one gone.
CREATE INDEX source_gone ON source (ehr, gone_at) WHERE gone_at IS NOT NULL;
-- Nothing takes up what is in shadow, so nothing looks for it.
UPDATE delivery SET due_at = NULL WHERE mode = 'shadow';
