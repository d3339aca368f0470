//! The tables: what they hold, how a row reads as one text on either database, and how they travel.

use serde_json::{Value, json};

/// How a table travels, and so what may happen to its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows that are inserted only: mode incrementing, plain inserts into a table without a key, so that doubles show.
    Ledger,
    /// Rows that are inserted, updated and deleted: mode timestamp+incrementing, tombstones, upserts and deletes.
    KeyValue,
    /// Rows of many types that are inserted and updated: mode timestamp+incrementing, upserts.
    Types,
}

/// A table of the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub name: &'static str,
    pub kind: Kind,
}

/// All of them. Each has a number of its own for every change of a row: `version`.
pub(crate) const TABLES: [Table; 4] = [
    Table {
        name: "ledger_0",
        kind: Kind::Ledger,
    },
    Table {
        name: "ledger_1",
        kind: Kind::Ledger,
    },
    Table {
        name: "kv",
        kind: Kind::KeyValue,
    },
    Table {
        name: "types",
        kind: Kind::Types,
    },
];

/// A column, and an expression that gives its value one text, on MariaDB and on PostgreSQL.
type Column = (&'static str, &'static str, &'static str);

const LEDGER: &[Column] = &[
    ("writer", "writer", "writer::text"),
    ("version", "version", "version::text"),
    ("payload", "HEX(payload)", "upper(encode(payload, 'hex'))"),
    (
        "note",
        "HEX(CONVERT(note USING utf8mb4))",
        "upper(encode(convert_to(note, 'UTF8'), 'hex'))",
    ),
];
const KEY_VALUE: &[Column] = &[
    ("n", "n", "n::text"),
    ("version", "version", "version::text"),
    (
        "v",
        "HEX(CONVERT(v USING utf8mb4))",
        "upper(encode(convert_to(v, 'UTF8'), 'hex'))",
    ),
    CHANGED,
];
const TYPES: &[Column] = &[
    ("version", "version", "version::text"),
    ("a", "a", "a::text"),
    ("d", "CAST(d AS DECIMAL(30,6))", "d::numeric(30,6)::text"),
    ("f", "CAST(f AS DECIMAL(40,10))", "f::numeric(40,10)::text"),
    (
        "s",
        "HEX(CONVERT(s USING utf8mb4))",
        "upper(encode(convert_to(s, 'UTF8'), 'hex'))",
    ),
    ("b", "HEX(b)", "upper(encode(b, 'hex'))"),
    (
        "born",
        "DATE_FORMAT(born, '%Y-%m-%d')",
        "to_char(born, 'YYYY-MM-DD')",
    ),
    (
        "at",
        "CONCAT(DATE_FORMAT(`at`, '%Y-%m-%d %T.'), LPAD(MICROSECOND(`at`) DIV 1000, 3, '0'))",
        "to_char(\"at\", 'YYYY-MM-DD HH24:MI:SS.MS')",
    ),
    CHANGED,
];
const CHANGED: Column = (
    "changed",
    "CONCAT(DATE_FORMAT(changed, '%Y-%m-%d %T.'), LPAD(MICROSECOND(changed) DIV 1000, 3, '0'))",
    "to_char(changed, 'YYYY-MM-DD HH24:MI:SS.MS')",
);

impl Table {
    fn columns(self) -> &'static [Column] {
        match self.kind {
            Kind::Ledger => LEDGER,
            Kind::KeyValue => KEY_VALUE,
            Kind::Types => TYPES,
        }
    }

    /// The statement that makes it.
    pub(crate) fn create(self) -> String {
        let stamp = "changed DATETIME(6) NOT NULL DEFAULT NOW(6) ON UPDATE NOW(6)";
        let columns = match self.kind {
            Kind::Ledger => {
                "writer INT NOT NULL, version BIGINT NOT NULL, payload VARBINARY(64), note VARCHAR(60)".to_owned()
            }
            Kind::KeyValue => {
                format!("n BIGINT NOT NULL, version BIGINT NOT NULL, v VARCHAR(120), {stamp}, KEY (changed)")
            }
            Kind::Types => format!(
                "version BIGINT NOT NULL, a INT UNSIGNED, d DECIMAL(20,6), f DOUBLE, s VARCHAR(100), b BLOB, born DATE, \
                 `at` DATETIME(3), {stamp}, KEY (changed)"
            ),
        };
        format!(
            "CREATE TABLE `{}` (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, {columns})",
            self.name
        )
    }

    /// A query of MariaDB that gives each row's id, and the rest of it as one text.
    pub(crate) fn rows_of_mariadb(self, table: &str) -> String {
        let texts: Vec<String> = self
            .columns()
            .iter()
            .map(|(_, maria, _)| format!("COALESCE({maria}, 'NULL')"))
            .collect();
        format!(
            "SELECT CAST(id AS SIGNED), CAST(CONCAT_WS('|', {}) AS CHAR) FROM {table}",
            texts.join(", ")
        )
    }

    /// The same for PostgreSQL.
    pub(crate) fn rows_of_postgres(self, table: &str) -> String {
        let texts: Vec<String> = self
            .columns()
            .iter()
            .map(|(_, _, postgres)| format!("COALESCE({postgres}, 'NULL')"))
            .collect();
        format!(
            "SELECT id::bigint, concat_ws('|', {}) FROM {table}",
            texts.join(", ")
        )
    }

    /// Names of the columns in the texts of rows.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        self.columns().iter().map(|(name, ..)| *name)
    }
}

/// The source connectors: part of the name, tables, and keys beside those of every source.
pub(crate) fn sources() -> [(&'static str, Kind, Value); 3] {
    let stamped = |more: Value| {
        let mut keys =
            json!({"mode": "timestamp+incrementing", "timestamp.column.name": "changed"});
        merge(&mut keys, more);
        keys
    };
    [
        (
            "ledger",
            Kind::Ledger,
            json!({"mode": "incrementing", "tasks.max": "2"}),
        ),
        (
            "kv",
            Kind::KeyValue,
            stamped(json!({"delete.capture": "key_sweep", "delete.capture.interval.ms": "1000"})),
        ),
        ("types", Kind::Types, stamped(json!({}))),
    ]
}

/// Keys of the sink for tables of that kind.
pub(crate) fn sink(kind: Kind) -> Value {
    match kind {
        Kind::Ledger => json!({"insert.mode": "insert", "pk.mode": "none", "tasks.max": "2"}),
        Kind::KeyValue => {
            json!({"insert.mode": "upsert", "pk.mode": "record_key", "delete.enabled": "true"})
        }
        Kind::Types => json!({"insert.mode": "upsert", "pk.mode": "record_key"}),
    }
}

/// Adds the members of `more`.
pub(crate) fn merge(config: &mut Value, more: Value) {
    let (Some(all), Value::Object(more)) = (config.as_object_mut(), more) else {
        panic!("configs are objects")
    };
    all.extend(more);
}
