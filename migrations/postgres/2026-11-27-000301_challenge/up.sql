-- What a link asks before it opens. Wrong answers are counted for its whole life, whichever browser gives them: one is taken away
-- before an answer is looked at. Unlocked once, never again.
CREATE TABLE challenge (
    link_id TEXT NOT NULL PRIMARY KEY REFERENCES link (id),
    attempts INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL,
    unlocked_at BIGINT
);
-- A question or a code, and the hash of its answer; of a code nothing until one is made.
CREATE TABLE asked (
    link_id TEXT NOT NULL REFERENCES link (id),
    kind TEXT NOT NULL,
    how TEXT NOT NULL,
    question_sealed BYTEA,
    answer_sealed BYTEA,
    until_at BIGINT,
    PRIMARY KEY (link_id, kind)
);
-- Which browser gave the right answer.
CREATE TABLE answered (
    link_id TEXT NOT NULL REFERENCES link (id),
    cookie_hash BYTEA NOT NULL,
    kind TEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    PRIMARY KEY (link_id, cookie_hash, kind)
);
-- A question of the clinic's own for a report, until its link is made and for the next ones.
CREATE TABLE question (
    delivery_id TEXT NOT NULL PRIMARY KEY REFERENCES delivery (id),
    question_sealed BYTEA NOT NULL,
    answer_sealed BYTEA NOT NULL
);
