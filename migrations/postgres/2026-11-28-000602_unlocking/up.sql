-- Through which other channel a locked link can be unlocked, once: by a code, of which so many may be wrong.
ALTER TABLE challenge ADD COLUMN unlock_by TEXT;
ALTER TABLE challenge ADD COLUMN unlock_left INTEGER NOT NULL DEFAULT 0;
ALTER TABLE challenge ADD COLUMN unlock_sealed BYTEA;
ALTER TABLE challenge ADD COLUMN unlock_until BIGINT;
