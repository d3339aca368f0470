//! The kit itself: its servers keep what they are given, and its oracle sees a difference.

use testkit::mariadb::{count, run};
use testkit::{
    Api, Fault, KafkaProxy, Line, MariaTable, Postgres, Scratch, Topics, assert_same,
    for_condition, unique,
};

use crate::{SOON, lab};

#[tokio::test]
async fn mariadb_keeps_rows_over_kill_and_restart() {
    let scratch = lab().scratch();
    let server = testkit::MariaDb::start(scratch, "mariadb-of-kit");
    let mut connection = server.create_database("d").await;
    run(
        &mut connection,
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    server.kill();
    assert!(server.try_connect("d").await.is_err());
    server.restart();
    assert_eq!(
        count(&mut server.connect("d").await, "SELECT COUNT(*) FROM t").await,
        2
    );
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
    let (one,): (i32,) = sqlx::query_as("SELECT 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(one, 1);
}

/// A test run that ends by force, as one that a time limit kills, releases the scratch folder in the same way.
#[tokio::test]
async fn frozen_servers_end_with_the_test_run_that_started_them() {
    let scratch = Scratch::new(&unique("left"));
    let folder = scratch.path().to_owned();
    let at_work = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let folders =
            processes.filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok());
        folders.filter(|at| at.starts_with(&folder)).count()
    };
    let server = Postgres::start(&scratch, "postgres-of-kit");
    let _client = server.connect("postgres").await;
    server.freeze();
    assert!(at_work() > 2, "a server and its children");
    drop(scratch);
    for_condition("the end of every process in the folder", SOON, async || {
        at_work() == 0 && !folder.exists()
    })
    .await;
}

#[tokio::test]
async fn the_oracle_sees_a_changed_row() {
    let database = unique("oracle");
    let mut connection = lab().mariadb().create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE a (x INT, y VARCHAR(9)); INSERT INTO a VALUES (1, 'é'), (2, NULL)",
    )
    .await;
    run(
        &mut connection,
        "CREATE TABLE b (x INT, y TEXT); INSERT INTO b VALUES (2, NULL), (1, 'é')",
    )
    .await;
    let (a, b) = (
        MariaTable {
            database: &database,
            table: "a",
        },
        MariaTable {
            database: &database,
            table: "b",
        },
    );
    assert_eq!(assert_same(&mut connection, &a, &b).await, 2);
    run(&mut connection, "UPDATE b SET y = '' WHERE x = 2").await;
    let columns = a.canonical(&mut connection).await;
    assert_ne!(
        a.checksum(&mut connection, &columns).await,
        b.checksum(&mut connection, &columns).await
    );
}

/// Produces one record through the proxy, from a thread of its own.
fn produce(proxy: &KafkaProxy, topic: &str, value: &'static str) -> std::thread::JoinHandle<()> {
    let (topics, topic) = (Topics::new(&proxy.brokers()), topic.to_owned());
    std::thread::spawn(move || topics.produce(&topic, &[(None, Some(value))]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_holds_swallows_and_strands_the_configured_requests() {
    let (topics, topic) = (lab().kafka().topics(), unique("proxied"));
    topics.create(&topic, 1).await;
    let proxy = KafkaProxy::start(lab().kafka()).await;
    let held = proxy.trap(Api::Produce, None, 2, false, Fault::HoldRequest);
    produce(&proxy, &topic, "first").join().unwrap();
    let second = produce(&proxy, &topic, "second");
    held.wait_sprung(SOON).await;
    assert_eq!(
        (
            topics.read(&topic).len(),
            held.sprung(),
            proxy.seen(Api::Produce)
        ),
        (1, 1, 2)
    );
    held.release();
    second.join().unwrap();
    assert_eq!(topics.read(&topic).len(), 2);

    // the broker gets it only after its client has sent it again
    let stranded = proxy.trap(Api::Produce, None, 1, false, Fault::Strand);
    produce(&proxy, &topic, "third").join().unwrap();
    stranded.wait_sprung(SOON).await;
    assert_eq!(topics.read(&topic).len(), 3);
    stranded.release();
    topics.wait_for(&topic, 4, SOON).await;

    let nobody = proxy.trap(Api::Produce, Some("of-nobody"), 1, true, Fault::CutRequest);
    proxy.line(Line::Silent);
    let fourth = produce(&proxy, &topic, "fourth");
    for_condition("a client to wait", SOON, async || !fourth.is_finished()).await;
    proxy.line(Line::Open);
    fourth.join().unwrap();
    assert_eq!(nobody.sprung(), 0);
}
