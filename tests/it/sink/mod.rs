//! The JDBC sink alone: records are built in memory, and SQL queries check the result.

mod bulk;
mod copied;
pub(crate) mod database;
mod deferred;
mod errors;
mod exactly_once;
mod losses;
mod order;
mod prepared;
pub(crate) mod records;
mod refusals;
mod speed;
mod statement;

use connector_api::{ErrorKind, SchemaType, Value};
use testkit::mariadb::{count, run};

use self::database::{Database, Server};
use self::records::{Topic, int, text};
use crate::lab;

#[tokio::test]
async fn a_table_is_created_filled_and_evolved() {
    let mut database = Database::new(
        Server::MariaDb,
        &[
            ("auto.evolve", "true"),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
            ("insert.mode", "upsert"),
        ],
    )
    .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    let old = [int("id"), text("name")];
    let new = [
        int("id"),
        text("name"),
        records::optional("age", SchemaType::Int64),
    ];
    let batch = [
        topic.value(&old, [Value::I32(1), Value::Text("a".into())]),
        topic.value(
            &new,
            [Value::I32(2), Value::Text("b".into()), Value::I64(7)],
        ),
        topic.value(&old, [Value::I32(1), Value::Text("é😀".into())]),
        topic.value(&old, [Value::I32(2), Value::Text("c".into())]),
    ];
    let report = task.put(&batch, &topic.next()).await.unwrap();
    assert!(report.rejected.is_empty());
    assert_eq!(
        database
            .select("id, name, IFNULL(age, 'null')", "FROM t ORDER BY id")
            .await,
        ["1|é😀|null", "2|c|7"]
    );
    task.close().await;
}

#[tokio::test]
async fn deletes_and_inserts_of_one_key_keep_their_order() {
    let keys = [
        ("delete.enabled", "true"),
        ("pk.mode", "record_key"),
        ("pk.fields", "code"),
    ];
    for mode in ["insert", "upsert"] {
        let mut database = Database::new(
            Server::MariaDb,
            &[&keys[..], &[("insert.mode", mode)]].concat(),
        )
        .await;
        let topic = Topic::new("t");
        let mut task = database.open(&topic, false, &[]).await;
        let value = |n| Some(vec![Value::I32(n)]);
        let mut batch: Vec<_> = [
            ("gone", None),
            ("a", value(1)),
            ("b", value(2)),
            ("a", None),
            ("a", value(3)),
            ("b", None),
        ]
        .into_iter()
        .map(|(key, fields)| topic.keyed(key, &[int("n")], fields))
        .collect();
        task.put(&batch, &topic.next()).await.unwrap();
        assert_eq!(
            database.select("code, n", "FROM t ORDER BY code").await,
            ["a|3"],
            "{mode}"
        );
        batch = vec![topic.keyed("a", &[int("n")], None)];
        task.put(&batch, &topic.next()).await.unwrap();
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
        task.close().await;
    }
}

#[tokio::test]
async fn a_new_owner_goes_on_after_the_last_batch_and_fences_the_old_one() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let mut old = database.open(&topic, false, &[]).await;
    let one = [topic.value(&[int("id")], [Value::I32(1)])];
    old.put(&one, &topic.next()).await.unwrap();
    let mut new = records::open(&database.config, false).await;
    let stored = new.assign(&topic.partitions()).await.unwrap();
    assert_eq!(stored, topic.next());
    let two = [topic.value(&[int("id")], [Value::I32(2)])];
    let error = old.put(&two, &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    new.put(&two, &topic.next()).await.unwrap();
    assert_eq!(
        database.select("id", "FROM t ORDER BY id").await,
        ["1", "2"]
    );
    let ledger = database
        .select(
            "sink, topic, partition_id, next_offset, epoch",
            "FROM rowferry_offsets",
        )
        .await;
    assert_eq!(ledger, ["sink-test|t|0|2|2"]);
    old.close().await;
    new.close().await;
}

#[tokio::test]
async fn the_session_of_an_owner_that_is_frozen_in_a_transaction_is_ended() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let mut old = database.open(&topic, false, &[]).await;
    old.put(&[topic.value(&[int("id")], [Value::I32(1)])], &topic.next())
        .await
        .unwrap();
    // a session that holds the row of the ledger, as a stopped worker would, and is named there as the owner's
    let mut zombie = lab().mariadb().connect(&database.name).await;
    run(
        &mut zombie,
        "BEGIN; UPDATE rowferry_offsets SET next_offset=99",
    )
    .await;
    database.run("SET innodb_lock_wait_timeout=1").await;
    let id = count(&mut zombie, "SELECT CAST(CONNECTION_ID() AS SIGNED)").await;
    run(
        &mut zombie,
        &format!(
            "UPDATE rowferry_offsets SET session_id={id}; COMMIT; BEGIN; UPDATE rowferry_offsets SET next_offset=98"
        ),
    )
    .await;
    let mut new = records::open(&database.config, false).await;
    let stored = new.assign(&topic.partitions()).await.unwrap();
    assert_eq!(stored[0].offset, 99);
    assert!(sqlx::query("SELECT 1").execute(&mut zombie).await.is_err());
    new.close().await;
    old.close().await;
}

#[tokio::test]
async fn bad_records_are_found_and_the_others_written() {
    let keys = [
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
        ("insert.mode", "upsert"),
    ];
    let mut database = Database::new(Server::MariaDb, &keys).await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(5))")
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, true, &[]).await;
    let fields = [int("id"), text("name")];
    let batch: Vec<_> = (0..1000)
        .map(|n| {
            let name = if n % 500 == 477 {
                "much too long"
            } else {
                "fits"
            };
            topic.value(&fields, [Value::I32(n % 900), Value::Text(name.into())])
        })
        .chain([topic.keyed("no value", &fields, None)])
        .collect();
    let report = task.put(&batch, &topic.next()).await.unwrap();
    let rejected: Vec<_> = report.rejected.iter().map(|r| r.index).collect();
    assert_eq!(rejected, [477, 977, 1000]);
    let text = report.rejected[0].error.to_string();
    assert!(
        text.contains("topic t, partition 0, offset 478") && text.contains("column 'name'"),
        "{text}"
    );
    assert!(
        text.contains(&format!("table {}.t", database.name)) && !text.contains("much too long"),
        "{text}"
    );
    // record 77 has the key of the refused 977, and stays
    assert_eq!(
        database
            .rows("SELECT COUNT(*) FROM t WHERE name='fits'")
            .await,
        ["899"]
    );
    task.close().await;

    let mut strict = database.open(&topic, false, &[]).await;
    database.run("DELETE FROM t").await;
    let error = strict.put(&batch[..1000], &topic.next()).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Record && error.to_string().contains("offset 478:"),
        "{error}"
    );
    assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    strict.close().await;
}

#[tokio::test]
async fn a_row_that_collides_on_another_unique_index_changes_no_other_row() {
    let keys = [
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
        ("insert.mode", "upsert"),
    ];
    let mut database = Database::new(Server::MariaDb, &keys).await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, mail VARCHAR(20) UNIQUE, n INT); INSERT INTO t VALUES (1, 'a', 0)")
        .await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    let fields = [int("id"), text("mail"), int("n")];
    let row = |id, mail: &str, n| {
        topic.value(
            &fields,
            [Value::I32(id), Value::Text(mail.into()), Value::I32(n)],
        )
    };
    let error = task
        .put(&[row(3, "c", 1), row(2, "a", 1)], &topic.next())
        .await
        .unwrap_err();
    assert!(
        error.kind() == ErrorKind::Record && error.message().contains("unique index"),
        "{error}"
    );
    assert_eq!(database.select("id, mail, n", "FROM t").await, ["1|a|0"]);
    // the unique value moves from one row to another, in order
    task.put(
        &[row(1, "b", 2), row(2, "a", 2), row(1, "c", 3)],
        &topic.next(),
    )
    .await
    .unwrap();
    assert_eq!(
        database.select("id, mail, n", "FROM t ORDER BY id").await,
        ["1|c|3", "2|a|2"]
    );
    task.close().await;
}

#[tokio::test]
async fn tasks_that_create_the_same_table_at_once_all_succeed() {
    let mut database = Database::new(Server::MariaDb, &[("auto.evolve", "true")]).await;
    let puts = (0..8).map(|partition| {
        let config = database.config.clone();
        tokio::spawn(async move {
            let topic = Topic::part("t", partition);
            let mut task = records::open(&config, false).await;
            task.assign(&topic.partitions()).await.unwrap();
            let extra = records::optional(["a", "b"][partition as usize % 2], SchemaType::Int32);
            for n in 0..3 {
                let batch =
                    [topic.value(&[int("id"), extra.clone()], [Value::I32(n), Value::I32(n)])];
                while let Err(error) = task.put(&batch, &topic.next()).await {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                }
            }
            task.close().await;
        })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["24"]);
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_nothing_is_duplicated() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    task.put(&[topic.value(&[int("id")], [Value::I32(1)])], &topic.next())
        .await
        .unwrap();
    let id = database
        .rows("SELECT session_id FROM rowferry_offsets")
        .await
        .remove(0);
    database.run(&format!("KILL CONNECTION {id}")).await;
    let batch = [topic.value(&[int("id")], [Value::I32(2)])];
    let error = task.put(&batch, &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    task.put(&batch, &topic.next()).await.unwrap();
    assert_eq!(
        database.select("id", "FROM t ORDER BY id").await,
        ["1", "2"]
    );
    task.close().await;
}

#[tokio::test]
async fn a_column_dropped_by_others_is_noticed() {
    let mut database = Database::new(Server::MariaDb, &[("auto.evolve", "true")]).await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    let fields = [int("id"), records::optional("name", SchemaType::String)];
    task.put(
        &[topic.value(&fields, [Value::I32(1), Value::Text("a".into())])],
        &topic.next(),
    )
    .await
    .unwrap();
    database.run("ALTER TABLE t DROP COLUMN name").await;
    task.put(
        &[topic.value(&fields, [Value::I32(2), Value::Text("b".into())])],
        &topic.next(),
    )
    .await
    .unwrap();
    assert_eq!(
        database.select("id, name", "FROM t ORDER BY id").await,
        ["1", "2|b"]
    );
    task.close().await;
}

#[tokio::test]
async fn offsets_are_altered_and_reset_in_the_ledger() {
    use connector_api::SinkConnector;
    let database = Database::new(Server::MariaDb, &[]).await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, false, &[]).await;
    task.put(&[topic.value(&[int("id")], [Value::I32(1)])], &topic.next())
        .await
        .unwrap();
    let sink = connector_jdbc::sink::JdbcSink;
    let to = [(topic.partitions()[0].clone(), Some(41))];
    sink.alter_offsets(&database.config, &to).await.unwrap();
    let error = task.put(&[], &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    for _ in 0..2 {
        let stored = task.assign(&topic.partitions()).await.unwrap();
        assert_eq!(stored[0].offset, 41);
        task.revoke(&topic.partitions()).await.unwrap();
    }
    sink.reset_offsets(&database.config).await.unwrap();
    assert_eq!(task.assign(&topic.partitions()).await.unwrap(), []);
    task.close().await;
}

#[tokio::test]
async fn postgres_is_created_filled_evolved_and_sifted() {
    let keys = [
        ("insert.mode", "upsert"),
        ("auto.evolve", "true"),
        ("delete.enabled", "true"),
        ("pk.mode", "record_key"),
        ("pk.fields", "code"),
    ];
    let mut database = Database::new(Server::Postgres, &keys).await;
    let topic = Topic::new("t");
    let mut task = database.open(&topic, true, &[]).await;
    let numbers = records::array("numbers", SchemaType::Int32);
    let (old, new) = (
        vec![records::optional("n", SchemaType::Int32)],
        vec![records::optional("n", SchemaType::Int32), numbers],
    );
    let list = Value::Array([Value::I32(1), Value::Null].into());
    let batch = [
        // a null comes first: it must not decide the type of the numbers after it
        topic.keyed("a", &old, Some(vec![Value::Null])),
        topic.keyed("b", &old, Some(vec![Value::I32(2)])),
        topic.keyed("c", &new, Some(vec![Value::I32(3), list])),
        topic.keyed("b", &old, None),
        topic.keyed("d", &old, Some(vec![Value::I32(4)])),
    ];
    task.put(&batch, &topic.next()).await.unwrap();
    database.run("ALTER TABLE t ADD CHECK (n < 100)").await;
    let second = [
        topic.keyed("a", &old, Some(vec![Value::I32(1)])),
        topic.keyed("d", &old, Some(vec![Value::I32(100)])),
        topic.keyed("é", &old, Some(vec![Value::I32(5)])),
    ];
    let report = task.put(&second, &topic.next()).await.unwrap();
    assert_eq!(
        report.rejected.iter().map(|r| r.index).collect::<Vec<_>>(),
        [1]
    );
    let rows = database
        .select("code, n, numbers", "FROM t ORDER BY n")
        .await;
    assert_eq!(rows, ["a|1", "c|3|{1,NULL}", "d|4", "é|5"]);
    let mut new_owner = records::open(&database.config, true).await;
    assert_eq!(
        new_owner.assign(&topic.partitions()).await.unwrap(),
        topic.next()
    );
    let error = task.put(&second[..1], &topic.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    task.close().await;
    new_owner.close().await;
}
