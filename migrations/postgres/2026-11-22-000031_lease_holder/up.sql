-- Which replica holds the lease: when it starts again after it died, it gives back what its former self held.
ALTER TABLE event ADD COLUMN lease_holder TEXT;
ALTER TABLE source ADD COLUMN lease_holder TEXT;
ALTER TABLE delivery ADD COLUMN lease_holder TEXT;
ALTER TABLE notice ADD COLUMN lease_holder TEXT;
ALTER TABLE poll ADD COLUMN lease_holder TEXT;
ALTER TABLE subscription ADD COLUMN lease_holder TEXT;
