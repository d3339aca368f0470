//! Prepared statements that are gone.

use connector_api::{ErrorKind, Value};

use super::database::{Database, Server};
use super::records::{Topic, int, text};

/// What a pooler does between two transactions: the server behind the connection knows no statement of before.
#[tokio::test]
async fn statements_that_the_server_does_not_know_any_more_are_prepared_again() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    let forget = "CREATE FUNCTION forget() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN DEALLOCATE ALL; RETURN NEW; END $$";
    database.run(forget).await;
    for table in ["t", "rowferry_offsets"] {
        let topic = Topic::new("t");
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
        ];
        database.run("DROP TABLE IF EXISTS rowferry_offsets, t; CREATE TABLE t (id INT PRIMARY KEY, name TEXT)").await;
        let mut task = database.open(&topic, false, &keys).await;
        database
            .run(&format!(
                "CREATE TRIGGER forget AFTER INSERT OR UPDATE ON {table} EXECUTE FUNCTION forget()"
            ))
            .await;
        for n in 0..4 {
            let row = |id| {
                topic.value(
                    &[int("id"), text("name")],
                    [Value::I32(id), Value::Text("x".into())],
                )
            };
            let batch = [row(2 * n), row(2 * n + 1)];
            // the runtime puts a batch again after an error that may pass
            if let Err(error) = task.put(&batch, &topic.next()).await {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                task.put(&batch, &topic.next()).await.unwrap();
            }
        }
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM t").await,
            ["8"],
            "{table}"
        );
        task.close().await;
    }
}
