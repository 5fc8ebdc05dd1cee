DELETE FROM paper_doubt one USING paper_doubt other
    WHERE one.delivery_id = other.delivery_id AND one.file_index < other.file_index;
ALTER TABLE paper_doubt DROP CONSTRAINT paper_doubt_pkey;
ALTER TABLE paper_doubt ADD PRIMARY KEY (delivery_id);
