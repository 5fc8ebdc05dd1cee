-- When quiet hours first kept a delivery that was ready to leave: the breaker counts it there, not in the morning.
ALTER TABLE delivery ADD COLUMN kept_at BIGINT;
CREATE INDEX delivery_kept ON delivery (kept_at) WHERE kept_at IS NOT NULL;
