//! schemathesis: makes requests up from the OpenAPI document, right ones and wrong ones, and compares every answer
//! with what the document says.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{MariaDb, Random, Rest, python_program, unique};

use super::worker_and_source;
use crate::{SOON, lab};

const SETTINGS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/clients/schemathesis.toml"
);

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_openapi_document_says() {
    let (worker, source) = worker_and_source("checked").await;
    let (rest, copy) = (worker.rest(), unique("checked_copy"));
    lab().mariadb().create_database(&copy).await;
    let topic = format!("{}t", source["topic.prefix"].as_str().unwrap());
    let sink = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": topic,
        "connection.url": lab().mariadb().jdbc_url(&copy), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD});
    rest.create("checked-source", &source).await;
    rest.create("checked-sink", &sink).await;
    rest.wait_state("checked-source", "RUNNING", SOON).await;
    rest.wait_state("checked-sink", "RUNNING", SOON).await;
    let keeper = tokio::spawn(kept_alive(
        rest.base().to_owned(),
        [("checked-source", source), ("checked-sink", sink)],
    ));

    let seed = Random::new().below(1_000_000).to_string();
    let mut checker = Command::new(python_program("st"));
    checker.args([
        "--config-file",
        SETTINGS,
        "run",
        &format!("{}/openapi.json", rest.base()),
        "--seed",
        &seed,
    ]);
    checker.args([
        "--max-examples",
        "25",
        "--workers",
        "1",
        "--max-failures",
        "20",
        "--request-timeout",
        "30",
    ]);
    checker.args([
        "--suppress-health-check",
        "all",
        "--no-shrink",
        "--continue-on-failure",
    ]);
    // Where it keeps what it found before: nothing of that may play in.
    checker
        .current_dir(lab().scratch().path())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || checker.output().unwrap())
        .await
        .unwrap();
    keeper.abort();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "seed {seed}\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tested = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Tested:"))
        .expect("how many were tested");
    assert!(tested.trim().parse::<usize>().unwrap() >= 30, "{said}");
    assert!(worker.is_running());
    rest.get("/health").await.expect(200);
}

/// Another client, which creates the connectors again whenever they are deleted, so that
/// requests find something.
async fn kept_alive(base: String, connectors: [(&'static str, Value); 2]) {
    let rest = Rest::new(&base);
    loop {
        for (name, config) in &connectors {
            let path = format!("/connectors/{name}");
            let gone = rest
                .try_send("GET", &path, None)
                .await
                .is_ok_and(|answer| answer.status == 404);
            if gone {
                let body = Some(("application/json", config.to_string()));
                let _ = rest.try_send("PUT", &format!("{path}/config"), body).await;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
