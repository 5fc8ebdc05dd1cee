-- A report whose link ended for the sake of another leaves again in a new one; who read it in the first is not forgotten.
CREATE TABLE former_link (
    delivery_id TEXT NOT NULL,
    link_id TEXT NOT NULL,
    PRIMARY KEY (delivery_id, link_id)
);
