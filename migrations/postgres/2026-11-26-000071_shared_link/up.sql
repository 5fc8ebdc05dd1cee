-- Reports of one patient that their rules let share a link are found by a keyed hash of what they have in common.
ALTER TABLE delivery ADD COLUMN group_index BYTEA;
CREATE INDEX delivery_group ON delivery (group_index) WHERE group_index IS NOT NULL;
-- Several deliveries may share one link.
DROP INDEX delivery_link;
CREATE INDEX delivery_link ON delivery (link_id);
-- Whose file it is, and the version of that report; empty: those of the link.
ALTER TABLE sealed_file ADD COLUMN delivery_id TEXT;
ALTER TABLE sealed_file ADD COLUMN report_version TEXT;
