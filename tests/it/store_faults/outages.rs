//! A metadata store that is away, hangs, is held by others, is damaged or taken away: calls are answered in a limited time, tasks
//! go on, and what was said holds afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Config, ErrorKind};
use rowferry::model::TargetState;
use rowferry::store::{Store, StoreChange, StoreFailure, StoreOptions, StoreTrouble};
use serde_json::json;
use testkit::mariadb::run;
use testkit::{MariaDb, Postgres, Rest, Rowferry, Settings, SqliteFile, for_condition, unique};

use super::change::config;
use crate::hanging::relay;
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// What needs no store is answered at once, on a machine with two busy cores.
const AT_ONCE: Duration = Duration::from_secs(8);
/// What needs the store is answered within this time, whatever it does.
const BOUND: Duration = Duration::from_secs(45);

fn create(name: &str) -> StoreChange {
    let config = Config::from([("name", name)]);
    StoreChange::Create {
        name: Arc::from(name),
        config,
        target: TargetState::Stopped,
        slot: 3,
    }
}

fn options(url: &str) -> StoreOptions {
    StoreOptions::new(url, lab().scratch().path().join(unique("store-keys")))
}

async fn names(store: &Store) -> Vec<String> {
    store
        .load()
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.name.to_string())
        .collect()
}

async fn health(rest: &Rest, status: u16) -> String {
    let mut message = String::new();
    for_condition("the health", SOON, async || {
        let answer = rest.get("/health").await;
        message = answer.message().to_owned();
        answer.status == status
    })
    .await;
    message
}

/// Refused in a limited time with what to do.
async fn refused(rest: &Rest, name: &str, folder: &str) -> String {
    let began = Instant::now();
    let body = json!({"name": name, "initial_state": "STOPPED", "config": config(folder, 1)});
    let answer = rest.post("/connectors", &body).await.expect(503);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(
        answer
            .retry_after
            .is_some_and(|seconds| (1..60).contains(&seconds)),
        "{:?}",
        answer.retry_after
    );
    answer.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_or_is_unreachable_stops_only_changes_and_recovers_automatically() {
    let store = MariaDb::start(lab().scratch(), "mariadb-of-store");
    store.create_database("meta").await;
    let name = unique("outage");
    let url = format!(
        "mysql://{}:{}@127.0.0.1:{}/meta",
        MariaDb::USER,
        MariaDb::PASSWORD,
        store.port()
    );
    let settings = Settings::serve(&name, lab().kafka().brokers()).with("rowferry.store.url", &url);
    let worker = Rowferry::start(lab().scratch(), settings);
    let folder = lab()
        .scratch()
        .path()
        .join(&name)
        .join("rowferry-data")
        .display()
        .to_string();
    let rest = worker.rest();
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "outage", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1)",
    )
    .await;
    pipeline
        .create(rest, lab().mariadb(), json!({}), json!({}))
        .await;
    pipeline.wait_arrived(&mut connection, 1, SOON).await;
    let mut rows = 1;
    for outage in ["hangs", "is away"] {
        if outage == "hangs" {
            store.freeze();
        } else {
            store.kill();
        }
        let change = refused(rest, "during", &folder);
        let meanwhile = async {
            let began = Instant::now();
            rest.get("/connectors?expand=status").await.expect(200);
            rest.get(&format!("/connectors/{}/status", pipeline.source_name()))
                .await
                .expect(200);
            rest.get("/connectors/during").await.expect(404);
            assert!(
                began.elapsed() < AT_ONCE,
                "reading waited for the store: {:?}",
                began.elapsed()
            );
        };
        let (text, ()) = tokio::join!(change, meanwhile);
        assert!(
            text.contains("metadata store") && text.contains("Nothing was changed"),
            "{text}"
        );
        assert!(!text.contains(MariaDb::PASSWORD), "{text}");
        assert!(health(rest, 500).await.contains("metadata store"));
        run(&mut connection, "INSERT INTO t VALUES (NULL), (NULL)").await;
        rows += 2;
        pipeline.wait_arrived(&mut connection, rows, SOON).await;
        if outage == "hangs" {
            store.thaw();
        } else {
            store.restart();
        }
        health(rest, 200).await;
        rest.get("/connectors/during").await.expect(404);
        rest.put_empty(&format!("/connectors/{}/pause", pipeline.sink_name()))
            .await
            .expect(202);
        worker.kill();
        worker.restart();
        rest.get("/connectors/during").await.expect(404);
        rest.wait_state(&pipeline.sink_name(), "PAUSED", SOON).await;
        rest.put_empty(&format!("/connectors/{}/resume", pipeline.sink_name()))
            .await
            .expect(202);
    }
    assert_eq!(pipeline.assert_same(&mut connection).await, rows);
    pipeline.remove(rest).await;
    // The end of the worker does not wait for a store that hangs.
    store.freeze();
    let began = Instant::now();
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30));
    store.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_doubt_is_said_to_be_and_what_it_did_shows_once_the_store_can_be_read() {
    let store = Postgres::start(lab().scratch(), "postgres-of-store");
    store.create_database("meta").await;
    let name = unique("doubt");
    let url = format!(
        "postgres://{}:{}@127.0.0.1:{}/meta",
        Postgres::USER,
        Postgres::PASSWORD,
        store.port()
    );
    let settings = Settings::serve(&name, lab().kafka().brokers()).with("rowferry.store.url", &url);
    let worker = Rowferry::start(lab().scratch(), settings);
    let folder = lab()
        .scratch()
        .path()
        .join(&name)
        .join("rowferry-data")
        .display()
        .to_string();
    for (point, connector, kept) in [
        ("store.before-commit", "lost", false),
        ("store.after-commit", "kept", true),
    ] {
        worker.fail_at(point, "1*return(hang)");
        let (rest, target) = (worker.rest().clone(), folder.clone());
        let asked = tokio::spawn(async move { refused(&rest, connector, &target).await });
        for_condition("the commit", SOON, async || worker.reached(point) > 0).await;
        store.freeze();
        let text = asked.await.unwrap();
        assert!(text.contains("not yet known"), "{text}");
        worker
            .rest()
            .get(&format!("/connectors/{connector}"))
            .await
            .expect(404);
        worker.go_on_at(point);
        store.thaw();
        health(worker.rest(), 200).await;
        for restarted in [false, true] {
            if restarted {
                worker.kill();
                worker.restart();
            }
            worker
                .rest()
                .get(&format!("/connectors/{connector}"))
                .await
                .expect(if kept { 200 } else { 404 });
        }
    }
    assert_eq!(worker.stop(SOON), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_into_the_store_that_never_returns_holds_up_its_caller_for_a_limited_time_and_nobody_else()
 {
    let name = unique("never");
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&name, lab().kafka().brokers()),
    );
    let folder = lab()
        .scratch()
        .path()
        .join(&name)
        .join("rowferry-data")
        .display()
        .to_string();
    let rest = worker.rest();
    let body = |name: &str| json!({"name": name, "initial_state": "STOPPED", "config": config(&folder, 1)});
    rest.post("/connectors", &body("c")).await.expect(201);
    for point in [
        "store.before-statement",
        "store.after-statement",
        "store.before-commit",
        "store.query",
        "store.connect",
    ] {
        if point == "store.connect" {
            // A request after an error opens a new connection.
            worker.fail_at("store.before-statement", "1*return(fatal)");
            rest.post("/connectors", &body("during")).await.expect(503);
            worker.go_on_at("store.before-statement");
        }
        worker.fail_at(point, "return(hang)");
        let began = Instant::now();
        let asked = async {
            match point {
                "store.query" => rest.get("/v1/connectors/c/history").await.expect(503),
                _ => rest.post("/connectors", &body("during")).await.expect(503),
            }
        };
        let others = async {
            for_condition("the call", SOON, async || worker.reached(point) > 0).await;
            let began = Instant::now();
            rest.get("/connectors?expand=status").await.expect(200);
            rest.get("/connectors/during").await.expect(404);
            assert!(began.elapsed() < AT_ONCE, "{point}: {:?}", began.elapsed());
        };
        let (answer, ()) = tokio::join!(asked, others);
        assert!(
            began.elapsed() < BOUND && answer.message().contains("metadata store"),
            "{point}: {answer:?}"
        );
        worker.go_on_at(point);
        health(rest, 200).await;
        rest.get("/connectors/during").await.expect(404);
        rest.post("/connectors", &body("after")).await.expect(201);
        rest.remove("after").await;
    }
    assert_eq!(worker.stop(SOON), Some(0));
}

fn failed(result: Result<(), StoreFailure>) -> (StoreTrouble, String) {
    let failure = result.unwrap_err();
    assert!(!failure.in_doubt, "{failure:?}");
    (failure.trouble, failure.text)
}

/// A store whose server still thinks that the worker's old connection lives takes that one's place; one that another worker has
/// changed meanwhile is left alone.
async fn lines_that_die_unnoticed(port: u16, url: impl Fn(u16) -> String) {
    let (through, hold) = relay(port).await;
    let store = Store::open(&options(&url(through))).await.unwrap();
    store.apply(&[create("a")], 1).await.unwrap();
    hold.send_replace(true);
    let (trouble, text) = failed(store.apply(&[create("b")], 2).await);
    assert_eq!(trouble, StoreTrouble::Unreachable, "{text}");
    hold.send_replace(false);
    for_condition("the store", SOON, async || {
        store.apply(&[create("c")], 3).await.is_ok()
    })
    .await;
    assert_eq!(names(&store).await, ["a", "c"]);

    hold.send_replace(true);
    assert!(store.check().await.is_err());
    let other = Store::open(&options(&url(port))).await.err().unwrap();
    assert!(
        other.message().contains("another worker"),
        "the old connection still holds the lock: {other}"
    );
    hold.send_replace(false);
    for_condition("the store", SOON, async || store.check().await.is_ok()).await;
    store.close().await;
    let other = Store::open(&StoreOptions {
        secrets_key: None,
        ..options(&url(port))
    })
    .await;
    assert!(
        other.is_err_and(|error| error.message().contains("rowferry.secrets.key")),
        "history of another key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_mariadb_that_dies_unnoticed_is_replaced() {
    let database = unique("lines");
    lab().mariadb().create_database(&database).await;
    let url = |port| {
        format!(
            "mysql://{}:{}@127.0.0.1:{port}/{database}",
            MariaDb::USER,
            MariaDb::PASSWORD
        )
    };
    lines_that_die_unnoticed(lab().mariadb().port(), url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_postgresql_that_dies_unnoticed_is_replaced() {
    let database = unique("lines");
    lab().postgres().create_database(&database).await;
    let url = |port| {
        format!(
            "postgres://{}:{}@127.0.0.1:{port}/{database}",
            Postgres::USER,
            Postgres::PASSWORD
        )
    };
    lines_that_die_unnoticed(lab().postgres().port(), url).await;
}

#[tokio::test]
async fn a_store_that_another_worker_has_changed_is_left_alone() {
    let database = unique("foreign");
    let mut connection = lab().mariadb().create_database(&database).await;
    let url = format!(
        "mysql://{}:{}@127.0.0.1:{}/{database}",
        MariaDb::USER,
        MariaDb::PASSWORD,
        lab().mariadb().port()
    );
    let options = options(&url);
    let first = Store::open(&options).await.unwrap();
    first.apply(&[create("a")], 1).await.unwrap();
    let id = "SELECT CAST(IS_USED_LOCK(CONCAT('rowferry.', MD5(DATABASE()))) AS CHAR)";
    let holder = testkit::mariadb::texts(&mut connection, id).await[0][0]
        .clone()
        .unwrap();
    run(&mut connection, &format!("KILL {holder}")).await;
    let second = Store::open(&options).await.unwrap();
    second.apply(&[create("b")], 2).await.unwrap();
    assert_eq!(
        failed(first.apply(&[create("c")], 3).await).0,
        StoreTrouble::InUse
    );
    second.close().await;
    let (trouble, text) = failed(first.apply(&[create("c")], 3).await);
    assert!(
        trouble == StoreTrouble::Foreign && text.contains("another worker has changed it"),
        "{text}"
    );
    assert!(first.check().await.is_err());
    first.close().await;
    assert_eq!(
        names(&Store::open(&options).await.unwrap()).await,
        ["a", "b"]
    );
}

#[tokio::test]
async fn a_worker_whose_store_another_one_has_changed_says_that_it_must_be_restarted_and_then_takes_up_the_changes()
 {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let database = unique("foreign");
    let mut connection = lab().mariadb().create_database(&database).await;
    let url = format!(
        "mysql://{}:{}@127.0.0.1:{}/{database}",
        MariaDb::USER,
        MariaDb::PASSWORD,
        lab().mariadb().port()
    );
    let settings = Settings::serve(&database, lab().kafka().brokers());
    let settings = settings
        .with("rowferry.store.url", &url)
        .with("rowferry.secrets.key", KEY);
    let worker = Rowferry::start(lab().scratch(), settings);
    let rest = worker.rest();
    let folder = lab().scratch().path().join(&database).join("rowferry-data");
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.display().to_string();
    let body = |name: &str| json!({"name": name, "initial_state": "STOPPED", "config": config(&folder, 1)});
    rest.post("/connectors", &body("a")).await.expect(201);
    health(rest, 200).await;
    let id = "SELECT CAST(IS_USED_LOCK(CONCAT('rowferry.', MD5(DATABASE()))) AS CHAR)";
    let holder = testkit::mariadb::texts(&mut connection, id).await[0][0]
        .clone()
        .unwrap();
    run(&mut connection, &format!("KILL {holder}")).await;
    let other = Store::open(&StoreOptions {
        secrets_key: Some(KEY.to_owned()),
        ..options(&url)
    })
    .await
    .unwrap();
    other.apply(&[create("b")], 2).await.unwrap();
    other.close().await;
    for name in ["c", "d"] {
        let answer = rest.post("/connectors", &body(name)).await.expect(503);
        assert!(
            answer.message().contains("restart this one"),
            "{}",
            answer.message()
        );
        assert_eq!(answer.retry_after, None, "asking again does not help");
    }
    assert!(health(rest, 500).await.contains("until it is restarted"));
    assert!(
        worker
            .log()
            .contains("changes are refused until this worker is restarted"),
        "{}",
        worker.log()
    );
    assert_eq!(
        rest.get("/connectors").await.expect(200).body,
        json!(["a"]),
        "reads go on"
    );
    worker.stop(SOON);
    worker.restart();
    health(worker.rest(), 200).await;
    assert_eq!(
        worker.rest().get("/connectors").await.expect(200).body,
        json!(["a", "b"])
    );
}

#[tokio::test]
async fn an_sqlite_store_that_is_locked_damaged_or_taken_away_is_refused_with_the_way_out() {
    let file = SqliteFile::at(
        &lab()
            .scratch()
            .path()
            .join(unique("store-bad"))
            .join("rowferry.db"),
    );
    let options = options(&format!("sqlite:{}", file.path().display()));
    let store = Store::open(&options).await.unwrap();
    store
        .apply(
            &(0..50)
                .map(|n| create(&format!("c{n}")))
                .collect::<Vec<_>>(),
            1,
        )
        .await
        .unwrap();
    // Taken away under its feet.
    let away = file.path().with_extension("away");
    std::fs::rename(file.path(), &away).unwrap();
    let (_, text) = failed(store.apply(&[create("lost")], 2).await);
    assert!(text.contains("removed or replaced"), "{text}");
    assert!(store.apply(&[create("lost")], 2).await.is_err());
    std::fs::rename(&away, file.path()).unwrap();
    store.apply(&[create("back")], 3).await.unwrap();
    store.close().await;

    let mut other = file.connect().await;
    testkit::sqlite::run(&mut other, "BEGIN EXCLUSIVE").await;
    let locked = Store::open(&options).await.err().unwrap();
    assert!(
        locked.kind() == ErrorKind::Retry && locked.message().contains("another worker or program"),
        "{locked}"
    );
    testkit::sqlite::run(&mut other, "ROLLBACK").await;
    sqlx_close(other).await;

    let whole = std::fs::read(file.path()).unwrap();
    for (at, what) in [
        (0, "its beginning"),
        (4096, "a page"),
        (whole.len() - 4096, "its last page"),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + 2000].fill(0x5a);
        std::fs::write(file.path(), damaged).unwrap();
        let refused = Store::open(&options)
            .await
            .err()
            .unwrap_or_else(|| panic!("{what} is damaged and nobody sees it"));
        assert!(
            refused.kind() == ErrorKind::Fatal && refused.message().contains(".recover"),
            "{what}: {refused}"
        );
    }
    std::fs::write(file.path(), whole).unwrap();
    let again = Store::open(&options).await.unwrap();
    assert_eq!(again.load().await.unwrap().len(), 51);
}

async fn sqlx_close(connection: sqlx::SqliteConnection) {
    sqlx::Connection::close(connection).await.unwrap();
}
