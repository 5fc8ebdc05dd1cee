-- When the phone network said that a text was there: what it says afterwards undoes nothing.
ALTER TABLE notice ADD COLUMN arrived_at BIGINT;
-- Numbers whose holders asked for no more texts, as keyed indexes alone. Kept until they ask for texts again.
CREATE TABLE opt_out (
    contact_index BYTEA PRIMARY KEY NOT NULL,
    since BIGINT NOT NULL
);
