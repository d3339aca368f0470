//! The SQL of each mode in each dialect, compared with the recorded text in `statements.sql` beside
//! this file. Among other things this checks the WHERE clause of each mode, and that the configured
//! suffix is the end of each statement.

use connector_api::text::append;

use connector_api::{Config, Value};

use super::query::{KeyBounds, ReadPosition, among, among_ids, keys, statement};
use super::table::{plan, plan_query};
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::{self, Dialect};
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::url::DatabaseKind;

/// A dialect, how it names the table, and its types of an id, a timestamp and a decimal.
type SnapshotCase = (DatabaseKind, &'static str, TableId, [&'static str; 3]);

fn cases() -> [SnapshotCase; 3] {
    [
        (
            DatabaseKind::MySql,
            "jdbc:mariadb://h/shop",
            TableId::in_catalog("shop", "orders"),
            ["int", "datetime", "decimal"],
        ),
        (
            DatabaseKind::Postgres,
            "jdbc:postgresql://h/shop",
            TableId::in_schema("public", "orders"),
            ["int4", "timestamp", "numeric"],
        ),
        (
            DatabaseKind::Sqlite,
            "jdbc:sqlite:/shop.db",
            TableId::bare("orders"),
            ["int", "datetime", "decimal"],
        ),
    ]
}

/// `orders (id, part, created, changed, price)` with the primary key `key`.
fn orders(id: &TableId, types: [&str; 3], key: &[&str]) -> TableMeta {
    let [int, timestamp, decimal] = types;
    let columns = [
        ("id", int),
        ("part", int),
        ("created", timestamp),
        ("changed", timestamp),
        ("price", decimal),
    ];
    let column = |(name, data_type): &(&str, &str)| ColumnMeta {
        name: (*name).to_owned(),
        data_type: (*data_type).to_owned(),
        column_type: (*data_type).to_owned(),
        nullable: *name == "changed",
        key_position: key.iter().position(|k| k == name),
        auto_increment: *name == "id",
        precision: (*name == "price").then_some(10),
        scale: (*name == "price").then_some(2),
        ..ColumnMeta::default()
    };
    TableMeta {
        primary_key: key.iter().map(|k| (*k).to_owned()).collect(),
        ..TableMeta::of_columns(id.clone(), columns.iter().map(column).collect())
    }
}

struct SnapshotSql<'a> {
    out: String,
    dialect: &'a dyn Dialect,
    url: &'static str,
    table: TableMeta,
}

impl SnapshotSql<'_> {
    fn config(&self, keys: &[(&str, &str)]) -> SourceConfig {
        let mut config = Config::from([("connection.url", self.url)]);
        keys.iter()
            .for_each(|(key, value)| config.set(*key, *value));
        SourceConfig::read(&config).expect("a config")
    }

    fn add(&mut self, title: &str, keys: &[(&str, &str)], from: &ReadPosition) {
        let plan = plan(&self.table, &self.config(keys), self.dialect).expect("a plan");
        self.write(title, &statement(&plan.shape, from, 500, self.dialect).sql);
    }

    fn add_query(&mut self, title: &str, query: &str, keys: &[(&str, &str)], from: &ReadPosition) {
        let plan = plan_query(query, &self.table.columns, &self.config(keys), self.dialect)
            .expect("a plan");
        self.write(title, &statement(&plan.shape, from, 500, self.dialect).sql);
    }

    /// Adds the statements that find deleted rows.
    fn add_keys(&mut self, title: &str, after: &[Value], up_to: &[Value]) {
        let config = self.config(&[("mode", "bulk"), ("delete.capture", "key_sweep")]);
        let plan = plan(&self.table, &config, self.dialect)
            .expect("a plan")
            .keys
            .expect("a key");
        let page = keys(&plan, Some(after), Some(up_to), 10_000, self.dialect);
        self.write(&format!("{title}, a page"), &page.sql);
        let found = if plan.numbers {
            among_ids(&plan, &[(1, 2), (5, 9), (11, 11)], self.dialect)
        } else {
            among(&plan, &[after.into(), up_to.into()], self.dialect)
        };
        self.write(&format!("{title}, those that were not found"), &found.sql);
    }

    fn write(&mut self, title: &str, sql: &str) {
        // If a timestamp is an expression, show it once and name it from then on.
        let mut sql = sql.to_owned();
        let orders = self.dialect.table(&self.table.id);
        for column in ["created", "changed"].map(|name| self.dialect.quoted(name)) {
            for column in [format!("{orders}.{column}"), column] {
                let timestamp = self.dialect.comparable_timestamp(&column);
                if timestamp != column && !title.starts_with("the timestamp") {
                    sql = sql.replace(&timestamp, &format!("stamp({column})"));
                }
            }
        }
        append(
            &mut self.out,
            format_args!(
                "-- {}, {title}\n{sql};\n\n",
                self.dialect.capabilities().name
            ),
        );
    }
}

fn all() -> String {
    let mut out = String::new();
    for (database, url, id, types) in cases() {
        let dialect = dialect::of(database);
        let mut written = SnapshotSql {
            out,
            dialect,
            url,
            table: orders(&id, types, &["id"]),
        };
        if dialect.comparable_timestamp("c") != "c" {
            written.write(
                "the timestamp of a column c",
                &dialect.comparable_timestamp("c"),
            );
        }
        modes(&mut written);
        queries(&mut written);
        written.add_keys("keys", &[Value::I32(1)], &[Value::I32(9)]);
        written.table = orders(&id, types, &["id", "part"]);
        let two = ReadPosition {
            key: Some(vec![Value::I32(1), Value::I32(2)]),
            ..ReadPosition::default()
        };
        written.add(
            "bulk, key of two columns, next page",
            &[("mode", "bulk")],
            &two,
        );
        for (title, key, first, last) in [
            ("a range from its beginning", None, 2, 1),
            ("a range, next page", Some(()), 2, 2),
            ("up to a key", None, 0, 2),
        ] {
            let values = |n: usize| [Value::I64(1), Value::I64(2)][..n].to_vec();
            let range = ReadPosition {
                key: key.map(|()| vec![Value::I32(1), Value::I32(7)]),
                bounds: KeyBounds {
                    first: values(first),
                    last: values(last),
                },
                ..ReadPosition::default()
            };
            let title = format!("bulk, key of two columns, {title}");
            written.add(&title, &[("mode", "bulk")], &range);
        }
        written.add_keys(
            "keys of two columns",
            &[Value::I32(1), Value::I32(2)],
            &[Value::I32(1), Value::I32(9)],
        );
        written.table = orders(&id, types, &[]);
        written.add(
            "bulk, no key",
            &[("mode", "bulk")],
            &ReadPosition::default(),
        );
        written.add(
            "incrementing, no key: one statement",
            &INCREMENTING,
            &ReadPosition {
                id: Some(5),
                ..ReadPosition::default()
            },
        );
        out = written.out;
    }
    out
}

const INCREMENTING: [(&str, &str); 2] =
    [("mode", "incrementing"), ("incrementing.column.name", "id")];
const TIMESTAMPS: [(&str, &str); 2] = [("mode", "timestamp"), ("timestamp.column.name", "created")];
const BOTH: [(&str, &str); 3] = [
    ("mode", "timestamp+incrementing"),
    ("timestamp.column.name", "changed,created"),
    ("incrementing.column.name", "id"),
];

fn modes(written: &mut SnapshotSql<'_>) {
    let from = ReadPosition {
        timestamp: Some(0),
        before: Some(1),
        id: Some(7),
        ..ReadPosition::default()
    };
    let within = ReadPosition {
        at: Some((0, vec![Value::I32(3)])),
        ..from.clone()
    };
    let page = ReadPosition {
        key: Some(vec![Value::I32(9)]),
        ..ReadPosition::default()
    };
    written.add("bulk", &[("mode", "bulk")], &ReadPosition::default());
    written.add("bulk, next page", &[("mode", "bulk")], &page);
    written.add("incrementing", &INCREMENTING, &from);
    written.add(
        "incrementing, up to an id",
        &INCREMENTING,
        &ReadPosition {
            up_to: Some(9),
            ..from.clone()
        },
    );
    written.add("timestamp", &TIMESTAMPS, &from);
    written.add(
        "timestamp, in the middle of equal timestamps",
        &TIMESTAMPS,
        &within,
    );
    let several = [TIMESTAMPS[0], ("timestamp.column.name", "changed,created")];
    written.add("timestamp, several columns", &several, &from);
    written.add("timestamp+incrementing", &BOTH, &from);
    let suffix = ("query.suffix", "/* SUFFIX */");
    written.add(
        "bulk with a suffix",
        &[("mode", "bulk"), suffix],
        &ReadPosition::default(),
    );
    written.add(
        "timestamp+incrementing with a suffix",
        &[&BOTH[..], &[suffix]].concat(),
        &from,
    );
    let never = ("quote.sql.identifiers", "never");
    written.add(
        "incrementing, names without quotes",
        &[INCREMENTING[0], INCREMENTING[1], never],
        &from,
    );
}

fn queries(written: &mut SnapshotSql<'_>) {
    let from = ReadPosition {
        timestamp: Some(0),
        before: Some(1),
        id: Some(7),
        ..ReadPosition::default()
    };
    let query = "SELECT * FROM orders WHERE part = 1";
    written.add_query(
        "query, bulk",
        query,
        &[("mode", "bulk"), ("query", query)],
        &ReadPosition::default(),
    );
    written.add_query(
        "query, incrementing",
        query,
        &[&INCREMENTING[..], &[("query", query)]].concat(),
        &from,
    );
    written.add_query(
        "query, timestamp",
        query,
        &[&TIMESTAMPS[..], &[("query", query)]].concat(),
        &from,
    );
    let suffix = [&BOTH[..], &[("query", query), ("query.suffix", "LIMIT 10")]].concat();
    written.add_query(
        "query, timestamp+incrementing with a suffix",
        query,
        &suffix,
        &from,
    );
}

#[test]
fn statements_match_the_recorded_snapshot() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/source/plan/statements.sql"
    );
    let text = all();
    if std::env::var_os("ROWFERRY_WRITE_DOCS").is_some() {
        std::fs::write(path, &text).expect("write the snapshot");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == text,
        "{path} is out of date: run ROWFERRY_WRITE_DOCS=1 cargo test, and read what has \
         changed\n{text}"
    );
}
