ALTER TABLE subscription DROP COLUMN lease_holder;
ALTER TABLE poll DROP COLUMN lease_holder;
ALTER TABLE notice DROP COLUMN lease_holder;
ALTER TABLE delivery DROP COLUMN lease_holder;
ALTER TABLE source DROP COLUMN lease_holder;
ALTER TABLE event DROP COLUMN lease_holder;
