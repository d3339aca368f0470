-- The id of the last change. Each transaction sets its own in the place of the one that its worker knows: a change that
-- another worker has made meanwhile shows, and whether a commit in doubt has happened can be read.
CREATE TABLE IF NOT EXISTS last_change (
    number INTEGER NOT NULL PRIMARY KEY,
    id     TEXT    NOT NULL
) WITHOUT ROWID;

INSERT INTO last_change (number, id) SELECT 1, '' WHERE NOT EXISTS (SELECT 1 FROM last_change);
