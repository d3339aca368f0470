//! The kit itself: its servers keep what they are given, and its oracle sees a difference.

use testkit::mariadb::{count, run};
use testkit::{MariaTable, assert_same, unique};

use crate::{SOON, lab};

#[tokio::test]
async fn mariadb_keeps_rows_over_kill_and_restart() {
    let scratch = lab().scratch();
    let server = testkit::MariaDb::start(scratch, "mariadb-of-kit");
    let mut connection = server.create_database("d").await;
    run(&mut connection, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)").await;
    server.kill();
    assert!(server.try_connect("d").await.is_err());
    server.restart();
    assert_eq!(count(&mut server.connect("d").await, "SELECT COUNT(*) FROM t").await, 2);
}

#[tokio::test]
async fn a_topic_gives_back_what_was_produced() {
    let (topics, topic) = (lab().kafka().topics(), unique("given"));
    topics.create(&topic, 1).await;
    topics.produce(&topic, &[(Some("k"), Some("v")), (None, None)]);
    let entries = topics.wait_for(&topic, 2, SOON).await;
    assert_eq!((entries[0].key_text(), entries[0].text()), ("k", "v"));
    assert_eq!((&entries[1].key, &entries[1].value), (&None, &None));
}

#[tokio::test]
async fn postgres_answers() {
    let mut connection = lab().postgres().create_database(&unique("d")).await;
    let (one,): (i32,) = sqlx::query_as("SELECT 1").fetch_one(&mut connection).await.unwrap();
    assert_eq!(one, 1);
}

#[tokio::test]
async fn the_oracle_sees_a_changed_row() {
    let database = unique("oracle");
    let mut connection = lab().mariadb().create_database(&database).await;
    run(&mut connection, "CREATE TABLE a (x INT, y VARCHAR(9)); INSERT INTO a VALUES (1, 'é'), (2, NULL)").await;
    run(&mut connection, "CREATE TABLE b (x INT, y TEXT); INSERT INTO b VALUES (2, NULL), (1, 'é')").await;
    let (a, b) = (MariaTable { database: &database, table: "a" }, MariaTable { database: &database, table: "b" });
    assert_eq!(assert_same(&mut connection, &a, &b).await, 2);
    run(&mut connection, "UPDATE b SET y = '' WHERE x = 2").await;
    let columns = a.canonical(&mut connection).await;
    assert_ne!(a.checksum(&mut connection, &columns).await, b.checksum(&mut connection, &columns).await);
}
