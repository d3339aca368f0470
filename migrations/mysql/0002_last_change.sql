-- The id of the last change. Each transaction sets its own in the place of the one that its worker knows: a change that
-- another worker has made meanwhile shows, and whether a commit in doubt has happened can be read.
-- MySQL commits each CREATE TABLE by itself, so this script may be run again after it was cut off.
CREATE TABLE IF NOT EXISTS last_change (
    number BIGINT      NOT NULL PRIMARY KEY,
    id     VARCHAR(64) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT IGNORE INTO last_change (number, id) VALUES (1, '');
