-- What a patient asked for, as staff recorded it. The patient is named by a keyed index alone.
CREATE TABLE preference (
    patient_index BLOB NOT NULL,
    word TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    PRIMARY KEY (patient_index, word)
);
