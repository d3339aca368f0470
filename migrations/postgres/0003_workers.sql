-- Several workers on one store. Each connector and task has a slot; the worker that owns it in the group runs it.

-- `revision` counts the configs of a connector, `planned` is the one that its tasks were planned from, and `restarts`
-- counts the restarts that were asked for.
ALTER TABLE connectors
    ADD COLUMN IF NOT EXISTS slot     BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS revision BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS planned  BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS restarts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks
    ADD COLUMN IF NOT EXISTS slot     BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS restarts BIGINT NOT NULL DEFAULT 0;

-- Who owns a slot: the worker's id, its present start (`instance`), and how often the slot was claimed.
CREATE TABLE IF NOT EXISTS slots (
    slot       BIGINT NOT NULL PRIMARY KEY,
    worker     TEXT   NOT NULL,
    instance   TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    claimed_ms BIGINT NOT NULL
);

-- The workers of the group, and when each was last seen. Only for people: Kafka decides who is alive.
CREATE TABLE IF NOT EXISTS workers (
    id         TEXT   NOT NULL PRIMARY KEY,
    instance   TEXT   NOT NULL,
    url        TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    started_ms BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL
);

-- The group that the store belongs to, and its number of slots, which never changes.
CREATE TABLE IF NOT EXISTS worker_group (
    number   BIGINT NOT NULL PRIMARY KEY,
    group_id TEXT   NOT NULL,
    slots    BIGINT NOT NULL
);

-- Number 2 is the last change of a status; number 1 that of anything else.
INSERT INTO last_change (number, id) SELECT 2, '' WHERE NOT EXISTS (SELECT 1 FROM last_change WHERE number = 2);
