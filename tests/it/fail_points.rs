//! Fail points themselves: a test can let a worker hang at one, continue, fail, and exit there.

use std::time::Duration;

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, Settings, for_condition, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hangs_continues_fails_and_exits_at_a_fail_point() {
    let server = lab().mariadb();
    let settings = Settings::serve(&unique("failing"), lab().kafka().brokers());
    let worker = Rowferry::start(
        lab().scratch(),
        settings.failing_at("source.before-commit", "return(hang)"),
    );
    let rest = worker.rest();
    let (pipeline, mut connection) = Pipeline::new(server, "failing", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    pipeline.create(rest, server, json!({}), json!({})).await;

    for_condition("a commit that hangs", SOON, async || {
        worker.reached("source.before-commit") > 0
    })
    .await;
    assert_eq!(worker.reached("sink.before-commit"), 0, "it is not set");
    worker.go_on_at("source.before-commit");
    pipeline.wait_arrived(&mut connection, 2, SOON).await;

    // an error that may pass, once
    worker.fail_at("source.poll", "1*return(the cable is out)");
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    assert_eq!(
        worker.reached("source.poll") > 0,
        worker
            .log()
            .contains("fail point source.poll: the cable is out")
    );
    worker.go_on_at("source.poll");

    // after the commit of the rows, before anybody knows
    worker.fail_at("sink.after-commit", "return(abort)");
    run(&mut connection, "INSERT INTO t VALUES (4)").await;
    for_condition("the end of the worker", SOON, async || !worker.is_running()).await;
    worker.go_on_at("sink.after-commit");
    worker.restart();
    run(&mut connection, "INSERT INTO t VALUES (5)").await;
    pipeline.wait_arrived(&mut connection, 5, SOON).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 5);
    pipeline.remove(worker.rest()).await;
    worker.stop(Duration::from_secs(30));
}
