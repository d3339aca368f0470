-- Connectors, their tasks, states and used topics. Migrations are append-only: never change this file, add the next.
-- Times are milliseconds since 1970-01-01 UTC. Configs are JSON objects of strings, exactly as given over REST; they
-- are LONGTEXT and not JSON, which would reorder them. Names compare by bytes (utf8mb4_bin), as they do in Kafka; 512
-- characters of up to 4 bytes, with a topic of 249 single-byte ones, fit InnoDB's 3072 bytes a key.

-- What the user asked for. `target` is STARTED, PAUSED or STOPPED.
CREATE TABLE connectors (
    name       VARCHAR(512) NOT NULL PRIMARY KEY,
    config     LONGTEXT     NOT NULL,
    target     VARCHAR(16)  NOT NULL,
    created_ms BIGINT       NOT NULL,
    updated_ms BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Every config a connector ever had, numbered from 1. A NULL config marks a deletion; the numbers go on after it.
CREATE TABLE config_history (
    connector VARCHAR(512) NOT NULL,
    version   BIGINT       NOT NULL,
    config    LONGTEXT,
    at_ms     BIGINT       NOT NULL,
    PRIMARY KEY (connector, version)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The task configs of the last plan, numbered from 0.
CREATE TABLE tasks (
    connector VARCHAR(512) NOT NULL,
    task      BIGINT       NOT NULL,
    config    LONGTEXT     NOT NULL,
    PRIMARY KEY (connector, task)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Last known state of each part: task -1 is the connector itself.
CREATE TABLE statuses (
    connector  VARCHAR(512) NOT NULL,
    task       BIGINT       NOT NULL,
    state      VARCHAR(16)  NOT NULL,
    worker_id  VARCHAR(512) NOT NULL,
    trace      LONGTEXT,
    updated_ms BIGINT       NOT NULL,
    PRIMARY KEY (connector, task)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Topics a connector has used since the last reset (KIP-558).
CREATE TABLE topics (
    connector VARCHAR(512) NOT NULL,
    topic     VARCHAR(249) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (connector, topic)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
