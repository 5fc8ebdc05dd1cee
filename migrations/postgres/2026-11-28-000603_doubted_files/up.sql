-- A report may consist of several files, and each may be doubted.
ALTER TABLE paper_doubt DROP CONSTRAINT paper_doubt_pkey;
ALTER TABLE paper_doubt ADD PRIMARY KEY (delivery_id, file_index);
