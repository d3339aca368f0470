//! Settings that nothing reads: reported in validation and in the status, refused where they would keep something back.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Rowferry, Settings, unique, wait_until};

use crate::{SOON, lab};

fn texts(of: &Value) -> String {
    of.as_array()
        .into_iter()
        .flatten()
        .map(|warning| format!("{}\n", warning["message"]))
        .collect()
}

#[tokio::test]
async fn a_setting_without_effect_is_a_warning_of_validation_and_of_the_status() {
    let (server, database) = (lab().mariadb(), unique("unused"));
    let mut connection = server.create_database(&database).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, secret INT); INSERT INTO t VALUES (1, 2)",
    )
    .await;
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&database));
    let url = format!(
        "{}?serverTimezone=UTC&tinyInt1IsBitt=false",
        server.jdbc_url(&database)
    );
    let config = json!({
        "name": "s", "connector.class": "JdbcSource", "connection.url": url, "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "mode": "bulk", "table.whitelist": "t", "topic.prefix": &database,
        "Batch.Max.Rows": "1", "transforms": "r", "transforms.r.type": "ReplaceField$Value",
        "transforms.r.blacklist": "secret", "transforms.q.type": "x",
    });
    let want = [
        "serverTimezone has no effect",
        "did you mean tinyInt1isBit",
        "did you mean batch.max.rows",
        "does not list q",
    ];
    let checked = worker
        .rest()
        .put("/connector-plugins/JdbcSource/config/validate", &config)
        .await
        .expect(200)
        .body;
    assert_eq!(checked["error_count"], 0, "{checked}");
    let reported = texts(&checked["warnings"]);
    want.iter()
        .for_each(|want| assert!(reported.contains(want), "{want}: {reported}"));

    worker.rest().create("s", &config).await.expect(201);
    let warning = wait_until("the status warns", SOON, async || {
        let status = worker.rest().get("/connectors/s/status").await.body;
        status["tasks"][0]["warning"].as_str().map(str::to_owned)
    })
    .await;
    want.iter()
        .for_each(|want| assert!(warning.contains(want), "{want}: {warning}"));
}

#[tokio::test]
async fn a_setting_that_would_keep_something_back_is_refused() {
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&unique("keeping")));
    let base = json!({
        "connector.class": "JdbcSink", "connection.url": "jdbc:mysql://127.0.0.1:1/d", "topics": "t", "transforms": "r",
        "transforms.r.type": "ReplaceField$Value", "transforms.r.exclude": "a",
    });
    for key in [
        "transforms.r.excludeFields",
        "transforms.r.predicat",
        "Fields.Whitelist",
        "field.exclude.lists",
        "fields.blacklist",
        "column.exclude.list",
        "topics_exclude",
    ] {
        let mut config = base.clone();
        config[key] = json!("x");
        let answer = worker
            .rest()
            .put("/connectors/s/config", &config)
            .await
            .expect(400);
        assert!(
            answer.message().contains(&format!("{key} is unknown")),
            "{key}: {}",
            answer.message()
        );
    }
}
