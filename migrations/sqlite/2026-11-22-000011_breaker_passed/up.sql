-- When staff released a delivery that the breaker had withheld: the breaker then has no further say about it.
ALTER TABLE delivery ADD COLUMN breaker_passed_at BIGINT;
