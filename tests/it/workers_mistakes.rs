//! Mistakes with several workers: each ends with words that say what is wrong and what to do, and with the exit
//! code of its kind.

use std::time::Duration;

use testkit::{Rowferry, Settings, unique};

use crate::lab;
use crate::workers::{Group, create, idle_sink, tasks_on};

const LONG: Duration = Duration::from_secs(90);

/// Runs a worker that ends on its own with this exit code, and compares what it says.
#[track_caller]
fn ends(settings: Settings, code: i32, says: &[&str]) {
    let (ended, log) = Rowferry::run(lab().scratch(), settings, LONG);
    assert_eq!(ended, Some(code), "{log}");
    for part in says {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_on_an_sqlite_file_ends_and_says_how_several_can_share_a_store() {
    let file = lab().scratch().path().join(format!("{}.db", unique("one")));
    let url = format!("sqlite:{}", file.display());
    let settings = |name: &str| {
        Settings::serve(&unique(name), lab().kafka().brokers()).with("rowferry.store.url", &url)
    };
    let _first = Rowferry::start(lab().scratch(), settings("first"));
    ends(
        settings("second"),
        69,
        &[
            "another worker or program uses it",
            "rowferry.store.shared=true",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_group_or_without_the_key_ends_and_names_what_differs() {
    let mut group = Group::on_mariadb("mistakes").await;
    let first = group.worker();
    let other = unique("other");
    ends(
        group.settings().with("group.id", &other),
        78,
        &[
            &format!("group.id={}", group.name),
            &format!("group.id={other}"),
        ],
    );
    let key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
    let connector = unique("sealed");
    create(&first, &connector, &idle_sink(&connector, 1)).await;
    ends(
        group.settings().with("rowferry.secrets.key", key),
        78,
        &["rowferry.secrets.key"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_slots_with_another_number_of_partitions_is_refused_with_both_numbers() {
    let mut group = Group::on_postgres("partitions").await;
    let topic = format!("rowferry-slots-{}", group.name);
    lab().kafka().topics().create(&topic, 3).await;
    ends(
        group.settings(),
        78,
        &[&topic, "has 3 partitions", "says 64", "Delete the topic"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_create_the_topic_of_slots_says_how_another_account_can() {
    let mut group = Group::on_postgres("denied").await;
    let topic = format!("rowferry-slots-{}", group.name);
    ends(
        group
            .settings()
            .failing_at("admin.create-topic", "return(denied)"),
        77,
        &[&format!(
            "kafka-topics.sh --create --topic {topic} --partitions 64"
        )],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_others_cannot_reach_warns_and_one_whose_id_is_taken_says_so() {
    let mut group = Group::on_postgres("same_id").await;
    let id = "rest.advertised.port";
    let first = Rowferry::start(lab().scratch(), group.settings().with(id, "1"));
    let name = unique("same_id");
    create(&first, &name, &idle_sink(&name, 2)).await;
    tasks_on(&first, &name, "the first worker", |owners| {
        owners.len() == 2
    })
    .await;
    let log = first.log();
    assert!(log.contains("rest.advertised.host.name"), "{log}");
    assert!(log.contains("only this machine can reach"), "{log}");
    let _second = Rowferry::start(lab().scratch(), group.settings().with(id, "1"));
    testkit::for_condition("the first worker to notice", LONG, async || {
        first
            .log()
            .contains("another process has registered with the id of this worker")
    })
    .await;
}
