//! Columns of the mode by name: in another letter case, misspelled, missing, and NULL.

use super::compared::probed;
use super::fixture::{DATABASES, Fixture, Server};

const TABLE: &str = "CREATE TABLE test (Ident INT NOT NULL PRIMARY KEY, Modified {stamp} NOT NULL)";
const ROW: &str = "INSERT INTO test VALUES (1, '2024-01-01 10:00:00')";
const QUERY: (&str, &str) = ("query", "SELECT * FROM test");

#[tokio::test]
async fn a_column_is_found_in_any_letter_case() {
    for server in DATABASES {
        for keys in [
            &[
                ("mode", "incrementing"),
                ("incrementing.column.name", "IDENT"),
            ][..],
            &[("mode", "timestamp"), ("timestamp.column.name", "MODIFIED")],
            &[
                ("mode", "timestamp+incrementing"),
                ("timestamp.column.name", "modifieD"),
                ("incrementing.column.name", "iDENT"),
            ],
        ] {
            for keys in [keys.to_vec(), [keys, &[QUERY]].concat()] {
                let mut fixture = Fixture::new(server, &keys).await;
                fixture.sql(TABLE).await;
                fixture.sql(ROW).await;
                assert_eq!(
                    probed(&fixture).await,
                    (vec![], vec![]),
                    "{server:?} {keys:?}"
                );
                let mut task = fixture.open().await;
                assert_eq!(fixture.read(&mut *task, 1).await.len(), 1);
                fixture.nothing_more(&mut *task).await;
                task.close().await;
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_fits_two_columns_is_refused_unless_it_is_the_exact_one() {
    for keys in [&[][..], &[("query", "SELECT * FROM test")]] {
        let keys = [&[("mode", "incrementing")], keys].concat();
        let mut fixture = Fixture::new(Server::Postgres, &keys).await;
        fixture
            .sql("CREATE TABLE test (\"ID\" INT NOT NULL, id INT NOT NULL); INSERT INTO test VALUES (7, 1), (6, 2)")
            .await;
        for (name, is_known) in [("Id", false), ("id", true)] {
            fixture.set(&[("incrementing.column.name", name)]);
            let (errors, warnings) = probed(&fixture).await;
            assert_eq!(
                errors.len() + warnings.len(),
                usize::from(!is_known),
                "{errors:?} {warnings:?}"
            );
            assert_eq!(fixture.try_open().await.is_ok(), is_known, "{name}");
        }
    }
}

/// Kafka Connect accepts such a connector, and its task fails (recorded case 242), so it is a warning.
#[tokio::test]
async fn a_missing_column_of_a_table_is_warned_of_with_the_table_and_the_name_that_is_meant() {
    for server in DATABASES {
        for (mode, key, name, parts) in [
            (
                "incrementing",
                "incrementing.column.name",
                "idnet",
                &["Incrementing column: idnet", "ident?"][..],
            ),
            (
                "timestamp",
                "timestamp.column.name",
                "modifed",
                &["Timestamp columns: modifed", "modified?"],
            ),
            (
                "incrementing",
                "incrementing.column.name",
                "quite_other",
                &["Incrementing column: quite_other"],
            ),
            (
                "incrementing",
                "incrementing.column.name",
                "",
                &["has no auto-increment column"],
            ),
        ] {
            let mut fixture = Fixture::new(server, &[("mode", mode), (key, name)]).await;
            fixture
                .sql(
                    &TABLE
                        .replace("Ident", "ident")
                        .replace("Modified", "modified"),
                )
                .await;
            let (errors, warnings) = probed(&fixture).await;
            let about = format!("{server:?} {name}: {errors:?} {warnings:?}");
            // SQLite's INT PRIMARY KEY is no auto-increment column either
            assert_eq!((errors.len(), warnings.len()), (0, 1), "{about}");
            assert!(warnings[0].starts_with(&format!("{key}: ")), "{about}");
            let refused = fixture
                .try_open()
                .await
                .err()
                .expect("an error")
                .to_string();
            for text in [&warnings[0], &refused] {
                assert!(text.contains("test"), "{about}");
                for part in parts {
                    assert!(text.contains(part), "{part}: {text}");
                }
                assert_eq!(text.contains("did you mean"), parts.len() > 1, "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_column_that_a_query_does_not_return_is_refused_with_the_name_that_is_meant() {
    for server in DATABASES {
        for (mode, key, name) in [
            ("incrementing", "incrementing.column.name", "idnet"),
            ("timestamp", "timestamp.column.name", "modifed"),
        ] {
            for query in ["query", "query.masked"] {
                let mut fixture =
                    Fixture::new(server, &[("mode", mode), (key, name), ("query", "")]).await;
                fixture.set(&[(query, QUERY.1)]);
                fixture
                    .sql(
                        &TABLE
                            .replace("Ident", "ident")
                            .replace("Modified", "modified"),
                    )
                    .await;
                let (errors, warnings) = probed(&fixture).await;
                let about = format!("{server:?} {name}: {errors:?} {warnings:?}");
                assert_eq!((errors.len(), warnings.len()), (1, 0), "{about}");
                assert!(
                    errors[0].starts_with(&format!("{key}: column {name} is not in the result")),
                    "{about}"
                );
                assert_eq!(
                    errors[0].contains("did you mean"),
                    query == "query",
                    "{about}"
                );
                assert!(fixture.try_open().await.is_err(), "{about}");
            }
        }
    }
}

/// As with a missing column (recorded case 244).
#[tokio::test]
async fn a_column_that_may_be_null_is_warned_of_unless_that_is_not_checked() {
    for server in DATABASES {
        for (mode, key, name) in [
            ("incrementing", "incrementing.column.name", "ident"),
            ("timestamp", "timestamp.column.name", "modified"),
        ] {
            let mut fixture = Fixture::new(server, &[("mode", mode), (key, name)]).await;
            fixture
                .sql("CREATE TABLE test (ident BIGINT, modified {stamp})")
                .await;
            let (errors, warnings) = probed(&fixture).await;
            let about = format!("{server:?} {name}: {errors:?} {warnings:?}");
            assert_eq!((errors.len(), warnings.len()), (0, 1), "{about}");
            assert!(
                warnings[0].starts_with(&format!("{key}: Cannot make incremental queries")),
                "{about}"
            );
            fixture.set(&[("validate.non.null", "false")]);
            assert_eq!(
                probed(&fixture).await,
                (vec![], vec![]),
                "{server:?} {name}"
            );
        }
    }
}

/// Kafka Connect reports those alone (recorded conversation 47, steps 15 and 16).
#[tokio::test]
async fn the_columns_of_a_query_that_the_database_refuses_are_not_asked_for() {
    for server in DATABASES {
        let keys = [("mode", "incrementing"), ("incrementing.column.name", "id")];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture.sql("CREATE TABLE test (n INT)").await;
        fixture.set(&[("query", "SELECT n FROM test")]);
        assert_eq!(probed(&fixture).await, (vec![], vec![]), "{server:?}");
        fixture.set(&[("table.whitelist", ""), ("query", "UPDATE test SET n = 1")]);
        let (errors, _) = probed(&fixture).await;
        assert!(
            !errors.iter().any(|text| text.starts_with("incrementing")),
            "{server:?}: {errors:?}"
        );
    }
}
