-- Several workers on one store. Each connector and task has a slot; the worker that owns it in the group runs it.
-- MySQL commits each statement about tables by itself, so this script may be run again after it was cut off.

-- `revision` counts the configs of a connector, `planned` is the one that its tasks were planned from, and `restarts`
-- counts the restarts that were asked for.
SET @add_columns = (SELECT IF(COUNT(*) > 0, 'DO 0', 'ALTER TABLE connectors
    ADD COLUMN slot     BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN revision BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN planned  BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN restarts BIGINT NOT NULL DEFAULT 0')
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'connectors' AND column_name = 'planned');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

SET @add_columns = (SELECT IF(COUNT(*) > 0, 'DO 0', 'ALTER TABLE tasks
    ADD COLUMN slot     BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN restarts BIGINT NOT NULL DEFAULT 0')
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'tasks' AND column_name = 'restarts');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

-- Who owns a slot: the worker's id, its present start (`instance`), and how often the slot was claimed.
CREATE TABLE IF NOT EXISTS slots (
    slot       BIGINT       NOT NULL PRIMARY KEY,
    worker     VARCHAR(512) NOT NULL,
    instance   VARCHAR(64)  NOT NULL,
    epoch      BIGINT       NOT NULL,
    claimed_ms BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The workers of the group, and when each was last seen. Only for people: Kafka decides who is alive.
CREATE TABLE IF NOT EXISTS workers (
    id         VARCHAR(512) NOT NULL PRIMARY KEY,
    instance   VARCHAR(64)  NOT NULL,
    url        VARCHAR(1024) NOT NULL,
    version    VARCHAR(64)  NOT NULL,
    started_ms BIGINT       NOT NULL,
    seen_ms    BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The group that the store belongs to, and its number of slots, which never changes.
CREATE TABLE IF NOT EXISTS worker_group (
    number   BIGINT       NOT NULL PRIMARY KEY,
    group_id VARCHAR(512) NOT NULL,
    slots    BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Number 2 is the last change of a status; number 1 that of anything else.
INSERT IGNORE INTO last_change (number, id) VALUES (2, '');
