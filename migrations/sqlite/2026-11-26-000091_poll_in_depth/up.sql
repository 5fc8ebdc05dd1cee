-- Further ways to look at an EHR beside the polls, each with a pace of its own: the history of a type (deletes), a second
-- search by the report's own date, and the list of the patients that are asked about.
CREATE TABLE look (
    ehr TEXT NOT NULL,
    what TEXT NOT NULL,
    watermark BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    lease_until BIGINT,
    lease_holder TEXT,
    last_ok_at BIGINT,
    offered TEXT NOT NULL,
    why TEXT,
    PRIMARY KEY (ehr, what)
);

-- The patients that an EHR is asked about one by one, where it refuses searches over all. Whom a row names is sealed.
CREATE TABLE panel_patient (
    ehr TEXT NOT NULL,
    kind TEXT NOT NULL,
    patient_index BLOB NOT NULL,
    id_sealed BLOB NOT NULL,
    watermark BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    listed_at BIGINT NOT NULL,
    dated_at BIGINT NOT NULL,
    why TEXT,
    PRIMARY KEY (ehr, kind, patient_index)
);
CREATE INDEX panel_patient_next ON panel_patient (ehr, kind, next_at);
CREATE INDEX panel_patient_watermark ON panel_patient (ehr, kind, watermark);

-- What a person asked to have read of the past: at most one of each sort for one EHR.
CREATE TABLE past_search (
    ehr TEXT NOT NULL,
    what TEXT NOT NULL,
    state TEXT NOT NULL,
    since_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    reached_at BIGINT NOT NULL,
    patient_index BLOB,
    seen BIGINT NOT NULL,
    heard BIGINT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    lease_until BIGINT,
    lease_holder TEXT,
    ended_at BIGINT,
    why TEXT,
    PRIMARY KEY (ehr, what)
);

-- Found by reading the past, and not spoken of by the EHR since: recorded, never sent by itself.
ALTER TABLE source ADD COLUMN backfilled_at BIGINT;
