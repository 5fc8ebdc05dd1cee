-- The key pairs by which all replicas show EHRs who they are; the private halves sealed under the root key's subkey.
CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    turn TEXT NOT NULL CHECK (turn IN ('next', 'current', 'former')),
    jwk TEXT NOT NULL,
    key_sealed BYTEA NOT NULL,
    made_at BIGINT NOT NULL,
    signs_since BIGINT,
    ends_at BIGINT
);
CREATE UNIQUE INDEX signing_key_one_of_each ON signing_key (algorithm, turn) WHERE turn <> 'former';
