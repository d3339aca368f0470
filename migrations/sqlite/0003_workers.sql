-- Several workers on one store. Each connector and task has a slot; the worker that owns it in the group runs it.
-- (A store in an SQLite file has one worker, and slots mean nothing there.)

-- `revision` counts the configs of a connector, `planned` is the one that its tasks were planned from, and `restarts`
-- counts the restarts that were asked for.
ALTER TABLE connectors ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connectors ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connectors ADD COLUMN planned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connectors ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;

-- Who owns a slot: the worker's id, its present start (`instance`), and how often the slot was claimed.
CREATE TABLE slots (
    slot       INTEGER NOT NULL PRIMARY KEY,
    worker     TEXT    NOT NULL,
    instance   TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    claimed_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- The workers of the group, and when each was last seen. Only for people: Kafka decides who is alive.
CREATE TABLE workers (
    id         TEXT    NOT NULL PRIMARY KEY,
    instance   TEXT    NOT NULL,
    url        TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    started_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL
) WITHOUT ROWID;

-- The group that the store belongs to, and its number of slots, which never changes.
CREATE TABLE worker_group (
    number   INTEGER NOT NULL PRIMARY KEY,
    group_id TEXT    NOT NULL,
    slots    INTEGER NOT NULL
) WITHOUT ROWID;

-- Number 2 is the last change of a status; number 1 that of anything else.
INSERT INTO last_change (number, id) SELECT 2, '' WHERE NOT EXISTS (SELECT 1 FROM last_change WHERE number = 2);
