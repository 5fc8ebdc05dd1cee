ALTER TABLE delivery DROP COLUMN breaker_passed_at;
