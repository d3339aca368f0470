//! The databases that a sink writes to, and the fastest way in that each has itself.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use testkit::mariadb::{rows, run};
use testkit::{Lab, MariaDb, MariaTable, Postgres, assert_same};

use crate::shape::Shape;
use crate::worker::TOPIC;

/// One database of a server.
pub(crate) enum Target<'a> {
    MariaDb {
        server: &'a MariaDb,
        connection: MySqlConnection,
        database: String,
    },
    Postgres {
        server: &'a Postgres,
        connection: PgConnection,
        database: String,
    },
}

impl<'a> Target<'a> {
    /// A new database of MariaDB.
    pub(crate) async fn mariadb(lab: &'a Lab, database: &str) -> Self {
        let server = lab.mariadb();
        Self::MariaDb {
            server,
            connection: server.create_database(database).await,
            database: database.to_owned(),
        }
    }

    /// A new database of PostgreSQL.
    pub(crate) async fn postgres(lab: &'a Lab, database: &str) -> Self {
        let server = lab.postgres();
        Self::Postgres {
            server,
            connection: server.create_database(database).await,
            database: database.to_owned(),
        }
    }

    /// The fastest way in that the server has itself.
    pub(crate) fn fastest(&self) -> &'static str {
        match self {
            Self::MariaDb { .. } => "LOAD DATA LOCAL INFILE",
            Self::Postgres { .. } => "COPY",
        }
    }

    /// The keys by which a connector connects.
    pub(crate) fn connection_keys(&self) -> Value {
        match self {
            Self::MariaDb {
                server, database, ..
            } => {
                json!({"connection.url": server.jdbc_url(database), "connection.user": MariaDb::USER,
                "connection.password": MariaDb::PASSWORD})
            }
            Self::Postgres {
                server, database, ..
            } => {
                json!({"connection.url": server.jdbc_url(database), "connection.user": Postgres::USER,
                "connection.password": Postgres::PASSWORD})
            }
        }
    }

    /// Tells the CPU time of the server so far.
    pub(crate) fn cpu(&self) -> Box<dyn Fn() -> Duration + 'a> {
        match *self {
            Self::MariaDb { server, .. } => Box::new(|| server.cpu()),
            Self::Postgres { server, .. } => Box::new(|| server.cpu()),
        }
    }

    /// The offset up to which the rows of a sink are committed: it stores it with them.
    pub(crate) async fn next_offset(&mut self, sink: &str) -> i64 {
        let sql = format!(
            "SELECT COALESCE(MAX(next_offset), 0) FROM rowferry_offsets WHERE sink='{sink}'"
        );
        match self {
            Self::MariaDb { connection, .. } => testkit::mariadb::count(connection, &sql).await,
            Self::Postgres { connection, .. } => {
                let offset = sqlx::query_scalar(AssertSqlSafe(sql.clone()));
                let offset = offset.fetch_one(connection).await;
                match offset {
                    Ok(offset) => offset,
                    Err(sqlx::Error::Database(error))
                        if error.code().as_deref() == Some("42P01") =>
                    {
                        0
                    }
                    Err(error) => panic!("{error} in: {sql}"),
                }
            }
        }
    }

    /// Panics unless the sink's table holds the rows of the source's.
    pub(crate) async fn verify(&mut self, source: &MariaDb, shape: Shape) {
        match self {
            Self::MariaDb {
                connection,
                database,
                ..
            } => {
                let [from, to] = [("bench", "t"), (database, TOPIC)]
                    .map(|(database, table)| MariaTable { database, table });
                assert_same(connection, &from, &to).await;
            }
            Self::Postgres { connection, .. } => {
                const OF_ANY: &str = "COUNT(*), SUM(id)";
                const OF_USUAL: &str = "COUNT(*), SUM(id), SUM(customer), SUM(amount), SUM(quantity), SUM(LENGTH(name)), \
                                    COUNT(email), COUNT(note), MIN(born), MAX(created)";
                let (sums, count) = match shape {
                    Shape::Usual => (OF_USUAL, 9),
                    _ => (OF_ANY, 2),
                };
                let mut from = source.connect("bench").await;
                let from =
                    testkit::mariadb::texts(&mut from, &format!("SELECT {sums} FROM t")).await;
                let to = format!("SELECT {sums} FROM \"{TOPIC}\"");
                let to = testkit::postgres::texts(connection, &to).await;
                assert_eq!(from[0][..count], to[0][..count], "sums of the rows written");
            }
        }
    }

    /// Makes an empty table like the sink's, and a file of its rows that the server's own client can load.
    pub(crate) async fn prepare_load(&mut self) -> Load {
        match self {
            Self::MariaDb {
                server,
                connection,
                database,
            } => {
                run(connection, &format!("CREATE TABLE loaded LIKE `{TOPIC}`")).await;
                let sql = "SELECT CAST(@@datadir AS CHAR)";
                let folder: String = rows(connection, sql).await[0].get(0);
                let file = format!("{folder}{database}.tsv");
                let unload = format!("SELECT * FROM `{TOPIC}` INTO OUTFILE '{file}'");
                run(connection, &unload).await;
                let sql = format!(
                    "LOAD DATA LOCAL INFILE '{file}' INTO TABLE loaded CHARACTER SET utf8mb4"
                );
                let load = Load {
                    client: mariadb_client(server.port(), database, &sql),
                    input: None,
                };
                // the program is in memory
                finish(&mut mariadb_client(
                    server.port(),
                    database,
                    "SELECT 1 INTO @one",
                ));
                load
            }
            Self::Postgres {
                server,
                connection,
                database,
            } => {
                let sql = format!("CREATE TABLE loaded (LIKE \"{TOPIC}\" INCLUDING ALL)");
                let made = sqlx::query(AssertSqlSafe(sql)).execute(connection).await;
                made.expect("create a table");
                let file = testkit::target_folder().join(format!("kit-logs/{database}.tsv"));
                let unload = format!("COPY \"{TOPIC}\" TO STDOUT");
                let mut client = psql(server.port(), database, &unload);
                finish(client.stdout(std::fs::File::create(&file).expect("create a file")));
                Load {
                    client: psql(server.port(), database, "COPY loaded FROM STDIN"),
                    input: Some(file),
                }
            }
        }
    }
}

/// A client that is about to load a file.
pub(crate) struct Load {
    client: Command,
    input: Option<PathBuf>,
}

impl Load {
    /// Runs it.
    pub(crate) fn run(mut self) {
        if let Some(file) = &self.input {
            self.client
                .stdin(std::fs::File::open(file).expect("open the rows"));
        }
        finish(&mut self.client);
        if let Some(file) = &self.input {
            std::fs::remove_file(file).expect("remove the rows");
        }
    }
}

fn finish(client: &mut Command) {
    let status = client.stderr(Stdio::inherit()).status();
    assert!(
        status.expect("run the client").success(),
        "the client failed"
    );
}

fn mariadb_client(port: u16, database: &str, sql: &str) -> Command {
    let mut client = Command::new("mariadb");
    client.args([
        "--no-defaults",
        "--local-infile=1",
        "--default-character-set=utf8mb4",
    ]);
    client.args([
        "-h",
        "127.0.0.1",
        "-P",
        &port.to_string(),
        "-u",
        MariaDb::USER,
    ]);
    client.args([&format!("-p{}", MariaDb::PASSWORD), database, "-e", sql]);
    client
}

fn psql(port: u16, database: &str, sql: &str) -> Command {
    let mut client = Command::new("psql");
    client.args(["-X", "-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    client.args(["-U", Postgres::USER, "-d", database, "-c", sql]);
    client
}
