-- Connectors, their tasks, states and used topics. Migrations are append-only: never change this file, add the next.
-- Times are milliseconds since 1970-01-01 UTC. Configs are JSON objects of strings, exactly as given over REST.

-- What the user asked for. `target` is STARTED, PAUSED or STOPPED.
CREATE TABLE connectors (
    name       TEXT    NOT NULL PRIMARY KEY,
    config     TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Every config a connector ever had, numbered from 1. A NULL config marks a deletion; the numbers go on after it.
CREATE TABLE config_history (
    connector TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    config    TEXT,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (connector, version)
) WITHOUT ROWID;

-- The task configs of the last plan, numbered from 0.
CREATE TABLE tasks (
    connector TEXT    NOT NULL,
    task      INTEGER NOT NULL,
    config    TEXT    NOT NULL,
    PRIMARY KEY (connector, task)
) WITHOUT ROWID;

-- Last known state of each part: task -1 is the connector itself.
CREATE TABLE statuses (
    connector  TEXT    NOT NULL,
    task       INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    worker_id  TEXT    NOT NULL,
    trace      TEXT,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (connector, task)
) WITHOUT ROWID;

-- Topics a connector has used since the last reset (KIP-558).
CREATE TABLE topics (
    connector TEXT NOT NULL,
    topic     TEXT NOT NULL,
    PRIMARY KEY (connector, topic)
) WITHOUT ROWID;
