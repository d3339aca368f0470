//! How far connectors are behind: in the API, on the command line and in the metrics.

use serde_json::json;
use testkit::for_condition;
use testkit::mariadb::run;

use crate::command_line::on;
use crate::metrics::{scrape, sum, three_rows};
use crate::{SOON, lab};

#[tokio::test]
async fn lag_grows_while_a_sink_cannot_write_and_ends_when_it_can() {
    let worker = lab().worker();
    let rest = worker.rest();
    let (pipeline, mut connection) = three_rows(worker, "behind").await;
    let (source, sink) = (pipeline.source_name(), pipeline.sink_name());
    let lag = async |name: &str| {
        rest.get(&format!("/v1/connectors/{name}/lag"))
            .await
            .expect(200)
            .body
    };
    for name in [&source, &sink] {
        for_condition("nothing to be behind", SOON, async || {
            lag(name).await["rows"] == 0
        })
        .await;
    }
    let body = lag(&sink).await;
    assert_eq!(body["seconds"], json!(0.0), "{body}");
    assert_eq!(body["parts"][0]["topic"], json!(pipeline.topic()), "{body}");
    let body = lag(&source).await;
    assert_eq!(body["type"], json!("source"), "{body}");
    assert!(body["seconds"].as_f64().is_some(), "{body}");
    for_condition("the pair to be known", SOON, async || {
        let body = lag(&sink).await;
        let pair = &body["sources"][0];
        pair["connector"] == json!(source) && pair["seconds"].as_f64().is_some()
    })
    .await;
    // The sink waits for a lock on its table.
    let mut lock = lab().mariadb().connect(&pipeline.copy).await;
    run(
        &mut lock,
        &format!("LOCK TABLES `{}` WRITE", pipeline.topic()),
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO goods VALUES (4, 'd'), (5, 'e')",
    )
    .await;
    for_condition(
        "the sink to be behind by two rows and more than a second",
        SOON,
        async || {
            let body = lag(&sink).await;
            let samples = scrape(rest).await;
            let of_sink = [("connector", sink.as_str()), ("partition", "0")];
            body["rows"].as_u64() >= Some(2)
                && body["seconds"].as_f64() > Some(1.0)
                && sum(&samples, "rowferry_lag_rows", &of_sink) >= Some(2.0)
                && sum(&samples, "rowferry_lag_seconds", &of_sink) > Some(1.0)
        },
    )
    .await;
    run(&mut lock, "UNLOCK TABLES").await;
    for_condition("the sink to be no more behind", SOON, async || {
        let body = lag(&sink).await;
        body["rows"] == 0 && body["seconds"] == json!(0.0)
    })
    .await;
    let (shown, ..) = on(rest.base(), &["lag", &sink]);
    assert!(shown.starts_with("TABLE OR PARTITION"), "{shown}");
    let words: Vec<_> = shown
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(
        words[1][..4],
        [&format!("{}-0", pipeline.topic()), "0", "0", "0.0"],
        "{shown}"
    );
    assert_eq!(words[2], ["all", "0", "0.0"], "{shown}");
    // No task reads the partitions of a stopped sink: the brokers are asked.
    rest.put_empty(&format!("/connectors/{sink}/stop"))
        .await
        .expect(204);
    for_condition("the metrics to know no lag", SOON, async || {
        let of_sink = [("connector", sink.as_str())];
        sum(&scrape(rest).await, "rowferry_lag_rows", &of_sink).is_none()
            && lag(&sink).await["rows"] == 0
    })
    .await;
    run(&mut connection, "INSERT INTO goods VALUES (6, 'f')").await;
    for_condition("a stopped sink to be behind", SOON, async || {
        let body = lag(&sink).await;
        let part = &body["parts"][0];
        body["rows"].as_u64() >= Some(1)
            && body["seconds"].as_f64() > Some(0.5)
            && part["task"].is_null()
            && part["end"].as_i64() > part["position"].as_i64()
    })
    .await;
    rest.put_empty(&format!("/connectors/{source}/stop"))
        .await
        .expect(204);
    for_condition("a stopped source to know no lag", SOON, async || {
        lag(&source).await["rows"].is_null()
    })
    .await;
    let unknown = rest.get("/v1/connectors/nobody/lag").await.expect(404);
    assert_eq!(
        unknown.message(),
        rest.get("/connectors/nobody").await.expect(404).message()
    );
}
