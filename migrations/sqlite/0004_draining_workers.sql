-- Workers that give their tasks away before they leave, and how busy each task of a worker is (JSON).
ALTER TABLE workers ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN busy TEXT;
