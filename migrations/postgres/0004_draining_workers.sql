-- Workers that give their tasks away before they leave, and how busy each task of a worker is (JSON).
ALTER TABLE workers
    ADD COLUMN IF NOT EXISTS draining BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS busy     TEXT;
