//! Configs that are too large, ask for too much, or come in floods.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Settings, for_condition, unique};

use super::worker;
use crate::{SOON, lab};

fn sink(tasks_max: &str) -> Value {
    json!({"connector.class": "JdbcSink", "topics": "none", "tasks.max": tasks_max, "connection.url": "jdbc:sqlite:x.db"})
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_than_a_worker_allows_are_refused_and_stored_ones_fail_their_connector_alone() {
    let name = unique("tasks");
    let folder = lab()
        .scratch()
        .path()
        .join(format!("{name}-data"))
        .display()
        .to_string();
    let settings = Settings::dev(&name).with("rowferry.data.dir", &folder);
    let mut settings = settings.with(
        "rowferry.store.url",
        &format!("sqlite:{folder}/rowferry.db"),
    );
    let first = testkit::Rowferry::start(lab().scratch(), settings.clone());
    for tasks_max in ["2147483647", "1001"] {
        let refused = first
            .rest()
            .post(
                "/connectors",
                &json!({"name": "huge", "config": sink(tasks_max)}),
            )
            .await
            .expect(400);
        let limit = format!(
            "Invalid value {tasks_max} for configuration tasks.max: Value must be no more than 1000"
        );
        assert!(
            refused.message().contains(&limit) && refused.message().contains("rowferry.tasks.max"),
            "{}",
            refused.text
        );
    }
    first.rest().create("five", &sink("5")).await;
    first.rest().create("two", &sink("2")).await;
    first.rest().wait_state("five", "RUNNING", SOON).await;
    assert_eq!(first.stop(SOON), Some(0));
    // The same store, as another version or another hand may have left it.
    settings = settings.with("rowferry.tasks.max", "2");
    let second = testkit::Rowferry::start(lab().scratch(), settings);
    second.rest().wait_state("two", "RUNNING", SOON).await;
    let mut status = Value::Null;
    for_condition("the connector has failed", SOON, async || {
        status = second
            .rest()
            .get("/connectors/five/status")
            .await
            .expect(200)
            .body;
        status["connector"]["state"] == "FAILED"
    })
    .await;
    let trace = status["connector"]["trace"].as_str().unwrap();
    assert!(
        trace.contains("no more than 2") && trace.contains("rowferry.tasks.max"),
        "{trace}"
    );
    assert_eq!(status["tasks"], json!([]), "none of its tasks is started");
    second
        .rest()
        .put("/connectors/five/config", &sink("1"))
        .await
        .expect(200);
    second.rest().wait_state("five", "RUNNING", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_as_many_tasks_as_it_may_and_the_others_wait_for_room() {
    let worker = worker("room", &[("rowferry.worker.tasks.max", "3")]);
    let rest = worker.rest();
    rest.create("many", &sink("5")).await;
    let states = async || {
        let status = rest.get("/connectors/many/status").await.expect(200).body;
        let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        let count = |state: &str| tasks.iter().filter(|task| task["state"] == state).count();
        (count("RUNNING"), count("FAILED"), status.to_string())
    };
    for_condition("three run", SOON, async || states().await.0 == 3).await;
    let (_, failed, text) = states().await;
    assert!(
        failed == 2 && text.contains("rowferry.worker.tasks.max"),
        "{text}"
    );
    rest.put("/connectors/many/config", &sink("1"))
        .await
        .expect(200);
    rest.create("others", &sink("2")).await;
    rest.wait_state("many", "RUNNING", SOON).await;
    rest.wait_state("others", "RUNNING", SOON).await;
}

/// Bodies of megabytes: transforms without number, keys without number, one key without end.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_huge_validations_holds_up_neither_other_requests_nor_the_end() {
    let worker = worker("flood", &[]);
    let rest = worker.rest().clone();
    let listed = (0..300_000)
        .map(|n| format!("a{n}"))
        .collect::<Vec<_>>()
        .join(",");
    let mut many = sink("1");
    for n in 0..150_000 {
        many[format!("k{n}")] = json!("");
    }
    let mut listing = sink("1");
    listing["transforms"] = json!(listed);
    let mut fitting = sink("1");
    fitting["transforms"] = json!(listed[..700_000]);
    fitting["topics"] = json!(listed[..300_000]);
    let mut asked = tokio::task::JoinSet::new();
    for body in [&many, &listing, &fitting]
        .map(|body| body.to_string())
        .iter()
        .cycle()
        .take(24)
    {
        let (rest, body) = (rest.clone(), body.clone());
        asked.spawn(async move {
            let path = "/connector-plugins/JdbcSink/config/validate";
            rest.send("PUT", path, Some(("application/json", body)))
                .await
        });
    }
    let (mut others, mut turn) = (0, tokio::time::interval(Duration::from_millis(50)));
    while !asked.is_empty() {
        tokio::select! {
            biased;
            _ = turn.tick() => {
                let began = Instant::now();
                rest.get("/").await.expect(200);
                rest.get("/connectors").await.expect(200);
                assert!(began.elapsed() < Duration::from_secs(2), "others waited for {:?}", began.elapsed());
                others += 1;
            }
            Some(answer) = asked.join_next() => {
                let answer = answer.unwrap();
                let reported = ["at most 10000 keys", "at most 1048576", "at most 256", "try again later"];
                assert!([200, 400, 503].contains(&answer.status), "{}", answer.text);
                assert!(reported.iter().any(|reported| answer.text.contains(reported)), "{}", answer.text);
            }
        }
    }
    assert!(others > 0);
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}
