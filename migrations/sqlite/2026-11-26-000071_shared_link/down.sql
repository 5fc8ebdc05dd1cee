ALTER TABLE sealed_file DROP COLUMN report_version;
ALTER TABLE sealed_file DROP COLUMN delivery_id;
DROP INDEX delivery_link;
CREATE UNIQUE INDEX delivery_link ON delivery (link_id);
DROP INDEX delivery_group;
ALTER TABLE delivery DROP COLUMN group_index;
