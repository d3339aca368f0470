//! What a source cannot read, and how it says so.

use connector_api::{Config, ConfigReport, ErrorKind, SourceConnector};
use connector_jdbc::source::JdbcSource;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use testkit::{MariaDb, Postgres, SqliteFile, mariadb, sqlite, unique, wait_until};

use super::connectors::Connector;
use super::fixture::{DATABASES, Fixture, Server};
use crate::{SOON, lab};

const STAMPS: &str = "CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {stamp}, created {stamp}, seen {stamp})";

/// The table as texts name it: its full name, each part in quotes.
fn shown(fixture: &Fixture) -> String {
    let full = fixture.full("test");
    let parts: Vec<_> = full
        .split('.')
        .map(|part| fixture.in_its_words(&format!("{{q}}{part}{{q}}")))
        .collect();
    parts.join(".")
}

/// A source over a table made so is refused with that text.
async fn refused(
    server: Server,
    keys: &[(&str, &str)],
    create: &str,
    want: impl Fn(&str) -> String,
) {
    let mut fixture = Fixture::new(server, keys).await;
    fixture.sql(create).await;
    let error = fixture
        .try_open()
        .await
        .err()
        .unwrap_or_else(|| panic!("{server:?}: not refused"));
    assert_eq!(error.kind(), ErrorKind::Config, "{server:?}: {error}");
    assert_eq!(error.message(), want(&shown(&fixture)), "{server:?}");
}

#[tokio::test]
async fn an_error_names_a_missing_incrementing_column() {
    for server in DATABASES {
        let keys = [
            ("mode", "incrementing"),
            ("incrementing.column.name", "INCORRECT INPUT"),
        ];
        let want = |table: &str| {
            format!("Incrementing column: INCORRECT INPUT does not exist in table '{table}'")
        };
        refused(
            server,
            &keys,
            "CREATE TABLE test (id INT NOT NULL PRIMARY KEY)",
            want,
        )
        .await;
    }
}

#[tokio::test]
async fn an_error_names_missing_timestamp_columns() {
    for server in DATABASES {
        let keys = [
            ("mode", "timestamp"),
            ("timestamp.column.name", "MODIFIED, incorrect, WRONG"),
        ];
        let want = |table: &str| {
            format!("Timestamp columns: incorrect, WRONG do not exist in table '{table}'")
        };
        refused(server, &keys, STAMPS, want).await;
    }
}

#[tokio::test]
async fn a_nullable_incrementing_column_is_refused() {
    for server in DATABASES {
        let keys = [("mode", "incrementing"), ("incrementing.column.name", "id")];
        let want = |table: &str| {
            format!(
                "Cannot make incremental queries using incrementing column id on {table} because this column is nullable."
            )
        };
        refused(server, &keys, "CREATE TABLE test (id INT, n INT)", want).await;
    }
}

#[tokio::test]
async fn timestamp_columns_that_are_all_nullable_are_refused() {
    for server in DATABASES {
        let keys = [
            ("mode", "timestamp"),
            ("timestamp.column.name", "modified,created,seen"),
        ];
        let want = |table: &str| {
            format!(
                "Cannot make incremental queries using timestamp columns modified,created,seen on {table} because all of \
                 these columns are nullable."
            )
        };
        refused(server, &keys, STAMPS, want).await;
    }
}

/// Errors and warnings, each with its key.
async fn probed(config: &Config) -> (Vec<String>, Vec<String>) {
    let mut report = ConfigReport::default();
    JdbcSource.probe(config, &mut report).await;
    let reported = |problems: Vec<connector_api::config::ConfigProblem>| {
        problems
            .into_iter()
            .map(|p| format!("{}: {}", p.key, p.message))
    };
    (
        reported(report.errors).collect(),
        reported(report.warnings).collect(),
    )
}

/// MariaDB's is a warning: Kafka Connect takes that connector, and its task fails (recorded cases 259 and 260).
#[tokio::test]
async fn a_query_that_the_database_refuses_is_reported_with_its_codes() {
    for server in DATABASES {
        let codes = match server {
            Server::MariaDb => "(1146, SQLSTATE 42S02)",
            Server::Postgres => "(42P01)",
            Server::Sqlite => "(code 1)",
        };
        for key in ["query", "query.masked"] {
            let fixture = Fixture::new(
                server,
                &[("mode", "bulk"), ("table.whitelist", ""), (key, "SELECT 1")],
            )
            .await;
            let mut config = fixture.config();
            assert_eq!(probed(&config).await, (vec![], vec![]), "{server:?}");
            config.set(key, "SELECT * FROM nowhere");
            let (errors, warnings) = probed(&config).await;
            let (reported, none) = if server == Server::MariaDb {
                (warnings, errors)
            } else {
                (errors, warnings)
            };
            assert!(
                reported.len() == 1 && none.is_empty(),
                "{server:?}: {reported:?} {none:?}"
            );
            assert!(
                reported[0].starts_with(&format!("{key}: The configured query")),
                "{reported:?}"
            );
            assert!(reported[0].contains(codes), "{server:?}: {reported:?}");
            assert_eq!(
                reported[0].contains("nowhere"),
                key == "query",
                "{reported:?}"
            );
        }
    }
}

/// The trace of the connector, or of its only task, once it has failed.
async fn failed(name: &str, part: fn(&Value) -> &Value) -> String {
    let path = format!("/connectors/{name}/status");
    wait_until("FAILED", SOON, async || {
        let status = lab().worker().rest().get(&path).await.body;
        let part = part(&status);
        (part["state"] == "FAILED").then(|| part["trace"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

#[tokio::test]
async fn a_table_dropped_while_it_is_read_fails_its_task_with_its_name() {
    for server in DATABASES {
        let keys = [("mode", "incrementing"), ("incrementing.column.name", "id")];
        let mut connector = Connector::new(server, &keys).await;
        connector
            .fixture
            .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY); INSERT INTO test VALUES (1)")
            .await;
        connector.create().await;
        assert_eq!(connector.ids("test", 1).await, [1]);
        connector.fixture.sql("DROP TABLE test").await;
        let trace = failed(&connector.name, |status| &status["tasks"][0]).await;
        assert!(
            trace.contains(&format!(
                "table {} does not exist any more",
                connector.fixture.full("test")
            )),
            "{trace}"
        );
        connector.remove().await;
    }
}

/// A database that can be taken away.
enum Own {
    MariaDb(MariaDb),
    Postgres(Postgres),
    Sqlite(SqliteFile),
}

impl Own {
    /// With a table `test` in a database `d`.
    async fn start(server: Server) -> Self {
        let name = unique("own");
        let create = "CREATE TABLE test (id INT NOT NULL PRIMARY KEY); INSERT INTO test VALUES (1)";
        match server {
            Server::MariaDb => {
                let own = MariaDb::start(lab().scratch(), &name);
                mariadb::run(&mut own.create_database("d").await, create).await;
                Self::MariaDb(own)
            }
            Server::Postgres => {
                let own = Postgres::start(lab().scratch(), &name);
                own.create_database("d")
                    .await
                    .execute(sqlx::raw_sql(AssertSqlSafe(create)))
                    .await
                    .unwrap();
                Self::Postgres(own)
            }
            Server::Sqlite => {
                let own = SqliteFile::new(lab().scratch(), &name);
                sqlite::run(&mut own.connect().await, create).await;
                Self::Sqlite(own)
            }
        }
    }

    /// What a connection needs, and how texts name the place.
    fn access(&self) -> (String, &'static str, &'static str, String) {
        match self {
            Self::MariaDb(own) => (
                own.jdbc_url("d"),
                MariaDb::USER,
                MariaDb::PASSWORD,
                own.port().to_string(),
            ),
            Self::Postgres(own) => (
                own.jdbc_url("d"),
                Postgres::USER,
                Postgres::PASSWORD,
                own.port().to_string(),
            ),
            Self::Sqlite(own) => (own.jdbc_url(), "", "", own.path().display().to_string()),
        }
    }

    fn turn(&self, up: bool) {
        match (self, up) {
            (Self::MariaDb(own), false) => own.kill(),
            (Self::MariaDb(own), true) => own.restart(),
            (Self::Postgres(own), false) => own.kill(),
            (Self::Postgres(own), true) => own.restart(),
            (Self::Sqlite(own), up) => {
                let away = own.path().with_extension("away");
                let (from, to) = if up {
                    (away.as_path(), own.path())
                } else {
                    (own.path(), away.as_path())
                };
                std::fs::rename(from, to).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_connector_whose_database_is_down_fails_and_starts_when_it_is_back() {
    for server in DATABASES {
        let own = Own::start(server).await;
        let (name, rest) = (unique("down"), lab().worker().rest());
        let (url, user, password, place) = own.access();
        let config = json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": url,
            "connection.user": user, "connection.password": password, "connection.attempts": "1", "mode": "incrementing",
            "incrementing.column.name": "id", "table.whitelist": "test", "topic.prefix": format!("{name}-"),
        });
        let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
        rest.post("/connectors", &body).await.expect(201);
        own.turn(false);
        rest.put_empty(&format!("/connectors/{name}/resume"))
            .await
            .expect(202);
        let trace = failed(&name, |status| &status["connector"]).await;
        assert!(trace.contains(&place), "{server:?}: {trace}");
        own.turn(true);
        rest.send("POST", &format!("/connectors/{name}/restart"), None)
            .await
            .expect(204);
        rest.wait_state(&name, "RUNNING", SOON).await;
        assert_eq!(
            lab()
                .kafka()
                .topics()
                .wait_for(&format!("{name}-test"), 1, SOON)
                .await
                .len(),
            1
        );
        rest.remove(&name).await;
    }
}
