-- What is asked of each opening of a link: how long it lasts, whether the document may be saved, who is told of it.
ALTER TABLE link ADD COLUMN view_seconds INTEGER NOT NULL DEFAULT 3600;
ALTER TABLE link ADD COLUMN download TEXT NOT NULL DEFAULT '"allowed"';
ALTER TABLE link ADD COLUMN notify TEXT NOT NULL DEFAULT '[]';
-- What a clinic's staff are told of a link by mail, once each.
CREATE TABLE staff_mail (
    id TEXT NOT NULL PRIMARY KEY,
    delivery_id TEXT NOT NULL REFERENCES delivery (id),
    link_id TEXT NOT NULL REFERENCES link (id),
    tells TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    ended_at BIGINT
);
CREATE UNIQUE INDEX staff_mail_once ON staff_mail (link_id, tells);
CREATE INDEX staff_mail_by_due ON staff_mail (state, due_at);
