//! Tables that change while they are read, by name and by query: reading goes on with the new definition.

use connector_api::ErrorKind;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Column, Row};

use super::fixture::{DATABASES, Fixture, SERVERS, Server, member, shown};
use crate::lab;

/// A change, what is inserted after it, and what the new row's record has: a field with its value, or no such field.
struct Change {
    name: &'static str,
    sql: &'static str,
    want: Want,
}

enum Want {
    Field(&'static str, &'static str),
    NoField(&'static str),
}

fn changes(server: Server) -> Vec<Change> {
    let change = |name, sql, want| Change { name, sql, want };
    let mut all = vec![
        change(
            "added",
            "ALTER TABLE test ADD COLUMN c INT DEFAULT 9",
            Want::Field("c", "9"),
        ),
        change(
            "dropped",
            "ALTER TABLE test DROP COLUMN extra",
            Want::NoField("extra"),
        ),
        change(
            "renamed",
            "ALTER TABLE test RENAME COLUMN extra TO other",
            Want::NoField("extra"),
        ),
        change(
            "remade",
            "DROP TABLE test; CREATE TABLE test (b VARCHAR(20), a BIGINT, id INT NOT NULL PRIMARY KEY)",
            Want::Field("a", "2"),
        ),
        change(
            "swapped",
            "ALTER TABLE test RENAME TO old_test; CREATE TABLE test (id INT NOT NULL PRIMARY KEY, a VARCHAR(9), b VARCHAR(9))",
            Want::Field("a", "2"),
        ),
    ];
    let retyped: [(&'static str, &'static str, Want); 4] = match server {
        Server::MariaDb => [
            (
                "wider",
                "ALTER TABLE test MODIFY a BIGINT",
                Want::Field("a", "2"),
            ),
            (
                "to text",
                "ALTER TABLE test MODIFY a VARCHAR(9)",
                Want::Field("a", "2"),
            ),
            (
                "longer",
                "ALTER TABLE test MODIFY b VARCHAR(200)",
                Want::Field("b", "y"),
            ),
            (
                "to a blob",
                "ALTER TABLE test MODIFY b BLOB",
                Want::Field("b", "79"),
            ),
        ],
        Server::Postgres => [
            (
                "wider",
                "ALTER TABLE test ALTER a TYPE BIGINT",
                Want::Field("a", "2"),
            ),
            (
                "to text",
                "ALTER TABLE test ALTER a TYPE TEXT",
                Want::Field("a", "2"),
            ),
            (
                "longer",
                "ALTER TABLE test ALTER b TYPE VARCHAR(200)",
                Want::Field("b", "y"),
            ),
            (
                "to bytes",
                "ALTER TABLE test ALTER b TYPE BYTEA USING b::bytea",
                Want::Field("b", "79"),
            ),
        ],
        Server::Sqlite => return all,
    };
    all.extend(
        retyped
            .into_iter()
            .map(|(name, sql, want)| change(name, sql, want)),
    );
    all
}

const BY_ID: [(&str, &str); 3] = [
    ("mode", "incrementing"),
    ("incrementing.column.name", "id"),
    ("validate.non.null", "false"),
];
const BY_STAMP: [(&str, &str); 3] = [
    ("mode", "timestamp"),
    ("timestamp.column.name", "at"),
    ("validate.non.null", "false"),
];

async fn goes_on(server: Server, keys: &[(&str, &str)], change: &Change) {
    let about = format!("{server:?} {} {keys:?}", change.name);
    let mut fixture = Fixture::new(server, keys).await;
    fixture
        .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, a INT, b VARCHAR(20), extra INT)")
        .await;
    fixture.sql("INSERT INTO test VALUES (1, 1, 'x', 5)").await;
    let mut task = fixture.open().await;
    assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"], "{about}");
    fixture.nothing_more(&mut *task).await;
    fixture.sql(change.sql).await;
    // a reading that looked the columns up before is over
    fixture.nothing_more(&mut *task).await;
    fixture
        .sql("INSERT INTO test (id, a, b) VALUES (2, 2, 'y')")
        .await;
    let records = fixture.read(&mut *task, 1).await;
    let fields: Vec<_> = records[0]
        .value
        .schema
        .iter()
        .flat_map(|schema| &schema.fields)
        .map(|f| &*f.name)
        .collect();
    match change.want {
        Want::Field(name, value) => assert_eq!(shown(member(&records[0], name)), value, "{about}"),
        Want::NoField(name) => assert!(!fields.contains(&name), "{about}: {fields:?}"),
    }
    assert_eq!(task.progress().warnings, [""; 0], "{about}");
    // again, by the statements that are prepared now
    fixture
        .sql("INSERT INTO test (id, a, b) VALUES (3, 3, 'z')")
        .await;
    assert_eq!(fixture.column(&mut *task, "id", 1).await, ["3"], "{about}");
    task.close().await;
}

#[tokio::test]
async fn a_table_that_changes_is_read_on() {
    for server in DATABASES {
        for change in changes(server) {
            goes_on(server, &BY_ID, &change).await;
        }
    }
}

#[tokio::test]
async fn a_query_sees_the_changes_of_its_table() {
    for server in DATABASES {
        for change in changes(server) {
            goes_on(
                server,
                &[&BY_ID[..], &[("query", "SELECT * FROM test")]].concat(),
                &change,
            )
            .await;
        }
    }
}

/// Every row comes at each poll: the change shows in the rows that come once it is made.
#[tokio::test]
async fn tables_and_queries_read_in_bulk_see_the_changes() {
    for server in DATABASES {
        for change in changes(server) {
            for key in [("table.whitelist", "test"), ("query", "SELECT * FROM test")] {
                let about = format!("{server:?} {} {key:?}", change.name);
                let mut fixture = Fixture::new(server, &[("mode", "bulk"), key]).await;
                fixture.sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, a INT, b VARCHAR(20), extra INT)").await;
                fixture.sql("INSERT INTO test VALUES (1, 1, 'x', 5)").await;
                let mut task = fixture.open().await;
                fixture.read(&mut *task, 1).await;
                fixture.sql(change.sql).await;
                fixture
                    .sql("DELETE FROM test; INSERT INTO test (id, a, b) VALUES (2, 2, 'y')")
                    .await;
                let end = std::time::Instant::now() + crate::SOON;
                loop {
                    assert!(
                        std::time::Instant::now() < end,
                        "{about}: not seen, {:?}",
                        task.progress()
                    );
                    let batch = match task.poll().await {
                        Ok(batch) => batch,
                        // it changed in the middle of a reading
                        Err(error) if error.kind() == ErrorKind::Retry => continue,
                        Err(error) => panic!("{about}: {error}"),
                    };
                    tokio::time::sleep(batch.idle_for.unwrap_or_default()).await;
                    let new = batch
                        .records
                        .iter()
                        .find(|record| shown(member(record, "id")) == "2");
                    let Some(record) = new else { continue };
                    let schema = record.value.schema.as_ref().unwrap();
                    match change.want {
                        Want::Field(name, value) => {
                            assert_eq!(shown(member(record, name)), value, "{about}");
                        }
                        Want::NoField(name) => {
                            assert_eq!(schema.field_index(name), None, "{about}");
                        }
                    }
                    break;
                }
                task.close().await;
            }
        }
    }
}

/// A query that names a missing table reports it, and continues when the table is back.
#[tokio::test]
async fn a_query_over_what_is_gone_says_so() {
    for server in SERVERS {
        let keys = [&BY_ID[..], &[("query", "SELECT id, extra FROM test")]].concat();
        let mut fixture = Fixture::new(server, &keys).await;
        fixture.sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, extra INT); INSERT INTO test VALUES (1, 1)").await;
        let mut task = fixture.open().await;
        assert_eq!(
            fixture.column(&mut *task, "id", 1).await,
            ["1"],
            "{server:?}"
        );
        fixture.sql("ALTER TABLE test DROP COLUMN extra").await;
        let error = testkit::wait_until("the task fails", crate::SOON, async || {
            task.poll().await.err()
        })
        .await;
        assert!(error.to_string().contains("extra"), "{server:?}: {error}");
        task.close().await;
        fixture
            .sql("ALTER TABLE test ADD COLUMN extra INT; INSERT INTO test VALUES (2, 2)")
            .await;
        let mut task = fixture.open().await;
        assert_eq!(
            fixture.column(&mut *task, "id", 1).await,
            ["2"],
            "{server:?}"
        );
        task.close().await;
    }
}

/// What a pooler does between two transactions: the server behind the connection knows no statement of before.
#[tokio::test]
async fn statements_that_the_server_does_not_know_any_more_are_prepared_again() {
    let mut fixture = Fixture::new(Server::Postgres, &BY_STAMP).await;
    fixture
        .sql("CREATE TABLE test (id INT PRIMARY KEY, at TIMESTAMP)")
        .await;
    // each reading of the view drops the connection's statements behind its back
    fixture.sql(
        "CREATE FUNCTION forget() RETURNS BOOLEAN LANGUAGE plpgsql VOLATILE AS $$ BEGIN DEALLOCATE ALL; RETURN TRUE; END $$",
    )
    .await;
    fixture
        .sql("CREATE VIEW seen AS SELECT id, at FROM test WHERE forget()")
        .await;
    fixture.set(&[("table.whitelist", "seen"), ("table.types", "VIEW")]);
    fixture
        .sql("INSERT INTO test VALUES (1, '2024-01-01')")
        .await;
    let mut task = fixture.open().await;
    for id in 1..5 {
        assert_eq!(fixture.column(&mut *task, "id", 1).await, [id.to_string()]);
        fixture
            .sql(&format!(
                "INSERT INTO test VALUES ({}, '2024-01-0{}')",
                id + 1,
                id + 1
            ))
            .await;
    }
    task.close().await;
}

/// The twin of `test (id INT, a VARCHAR(9), b VARCHAR(9))` that takes turns with it under its name.
const TWINS: [&str; 4] = [
    "b VARCHAR(9), a VARCHAR(9), id INT NOT NULL",
    "id INT NOT NULL, more INT, a VARCHAR(9), b VARCHAR(9)",
    "b VARCHAR(9), id INT NOT NULL, a VARCHAR(9), more INT",
    // its `b` is a number
    "id INT NOT NULL, a VARCHAR(9), b INT",
];

/// Two tables change places while a row of each comes with every change.
async fn take_turns(server: Server, keys: &[(&str, &str)], twin: &str) {
    let about = format!("{server:?} {keys:?} {twin}");
    let change = match server {
        Server::MariaDb => "RENAME TABLE test TO spare, other TO test, spare TO other",
        _ => {
            "BEGIN; ALTER TABLE test RENAME TO spare; ALTER TABLE other RENAME TO test; ALTER TABLE spare RENAME TO other; \
             COMMIT"
        }
    };
    let mut fixture = Fixture::new(server, keys).await;
    fixture
        .sql("CREATE TABLE test (id INT NOT NULL, a VARCHAR(9), b VARCHAR(9))")
        .await;
    fixture.sql(&format!("CREATE TABLE other ({twin})")).await;
    let mut task = None;
    let mut seen = 0;
    for turn in 1..=12 {
        let (first, second) = if turn % 2 == 1 {
            ("test", "other")
        } else {
            ("other", "test")
        };
        let number = if twin.ends_with("INT") && !twin.ends_with("more INT") {
            turn.to_string()
        } else {
            format!("'b{turn}'")
        };
        let values = format!("VALUES ({turn}, 'a{turn}',");
        fixture
            .sql(&format!(
                "INSERT INTO {first} (id, a, b) {values} 'b{turn}')"
            ))
            .await;
        fixture
            .sql(&format!(
                "INSERT INTO {second} (id, a, b) {values} {number})"
            ))
            .await;
        if task.is_none() {
            task = Some(fixture.open().await);
        }
        let Some(task) = &mut task else {
            unreachable!()
        };
        let (polled, ()) = tokio::join!(task.poll(), fixture.sql(change));
        let batch = match polled {
            Ok(batch) => batch,
            Err(error) => {
                assert!(
                    error.kind() == ErrorKind::Retry
                        && !error.message().contains("could not be read"),
                    "{about}: {error}"
                );
                continue;
            }
        };
        for record in &batch.records {
            let [id, a, b] = ["id", "a", "b"].map(|name| shown(member(record, name)));
            assert!(
                a == format!("a{id}") && (b == format!("b{id}") || b == id),
                "{about}: {id} has {a} and {b}"
            );
            seen += 1;
        }
        tokio::time::sleep(batch.idle_for.unwrap_or_default()).await;
    }
    assert!(seen > 0, "{about}");
    if let Some(task) = task {
        task.close().await;
    }
}

#[tokio::test]
async fn no_value_comes_under_the_name_of_another_column_while_tables_change() {
    let query = ("query", "SELECT * FROM test");
    for server in DATABASES {
        // a value of SQLite has its own type
        for twin in if server == Server::Sqlite {
            &TWINS[..3]
        } else {
            &TWINS[..]
        } {
            for keys in [
                &[("mode", "bulk"), query][..],
                &[("mode", "bulk")],
                &[BY_ID[0], BY_ID[1], BY_ID[2], query],
                &BY_ID,
            ] {
                take_turns(server, keys, twin).await;
            }
        }
    }
}

/// A statement that SQLite prepares again automatically has other columns than before.
#[tokio::test]
async fn a_statement_for_all_columns_gives_those_of_now() {
    for (change, want) in [
        ("ALTER TABLE test ADD COLUMN c INT DEFAULT 9", "id a b c"),
        ("ALTER TABLE test DROP COLUMN a", "id b"),
        ("ALTER TABLE test RENAME COLUMN a TO c", "id c b"),
    ] {
        let mut fixture = Fixture::new(
            Server::Sqlite,
            &[("mode", "bulk"), ("query", "SELECT * FROM test")],
        )
        .await;
        fixture
            .sql("CREATE TABLE test (id INT, a INT, b INT); INSERT INTO test VALUES (1, 2, 3)")
            .await;
        let mut connection = fixture.connect().await;
        let statement = "SELECT * FROM test WHERE id > ?";
        let columns = async |connection: &mut SqliteConnection| {
            let row = sqlx::query(statement)
                .bind(0)
                .fetch_one(connection)
                .await
                .expect("a row");
            row.columns()
                .iter()
                .map(|column| column.name().to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(columns(&mut connection).await, "id a b");
        fixture.sql(change).await;
        assert_eq!(columns(&mut connection).await, want);
    }
}

/// A pooler hands one server from client to client, with the statements that each has prepared there.
#[tokio::test]
async fn no_two_connections_name_their_statements_alike() {
    let fixture = Fixture::new(Server::Postgres, &BY_ID).await;
    let mut names: Vec<String> = Vec::new();
    for _ in 0..2 {
        let mut connection = lab().postgres().connect(&fixture.name).await;
        let listed = sqlx::query_scalar("SELECT name FROM pg_prepared_statements")
            .fetch_all(&mut connection)
            .await;
        names.extend(listed.expect("names"));
    }
    assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
}
