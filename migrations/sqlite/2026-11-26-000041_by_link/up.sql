-- What belongs to a link is found by it: at its end, in its list of openings, and when the link itself is forgotten.
CREATE INDEX opening_link ON opening (link_id);
CREATE INDEX notice_link ON notice (link_id);
