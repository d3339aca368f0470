//! What creating or changing connectors would do, before it is done.

mod command_line;

use serde_json::{Value, json};
use testkit::mariadb::{run, texts};
use testkit::{MariaDb, Rest, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, examples, lab};

/// A source with a table of three rows, and a sink of its topic.
async fn orders(name: &str) -> (Pipeline, sqlx::mysql::MySqlConnection) {
    let (pipe, mut connection) = Pipeline::new(lab().mariadb(), name, "orders").await;
    run(
        &mut connection,
        "CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40) NOT NULL, total DECIMAL(10,2), \
         placed DATETIME(3)); INSERT INTO orders (customer, total, placed) VALUES ('Ann', 12.50, '2026-01-02 03:04:05.678'), \
         ('Bo', NULL, NULL), ('Cy', 7, '2026-02-02 00:00:00'); ANALYZE TABLE orders",
    )
    .await;
    (pipe, connection)
}

/// Both connectors of a pipeline, as `POST /v1/plans` takes them.
fn both(pipe: &Pipeline, server: &MariaDb, source: Value, sink: Value) -> Value {
    json!([
        {"name": pipe.source_name(), "config": pipe.source(server, source)},
        {"name": pipe.sink_name(), "config": pipe.sink(server, sink)},
    ])
}

async fn plans(rest: &Rest, connectors: &Value) -> Vec<Value> {
    let answer = rest.post("/v1/plans", connectors).await.expect(200).body;
    answer["connectors"].as_array().unwrap().clone()
}

fn column<'a>(table: &'a Value, name: &str) -> &'a Value {
    let columns = table["columns"].as_array().unwrap();
    let found = columns.iter().find(|column| column["column"] == name);
    found.unwrap_or_else(|| panic!("{name} in {table}"))
}

#[tokio::test]
async fn a_plan_shows_what_a_source_reads_and_what_a_sink_of_its_topic_creates() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let (pipe, _connection) = orders("planned").await;
    let masked = json!({"transforms": "mask", "transforms.mask.type": "MaskField$Value", "transforms.mask.fields": "customer"});
    let found = plans(rest, &both(&pipe, server, masked, json!({}))).await;
    let (source, sink) = (&found[0], &found[1]);
    let context = format!("{source:#}\n{sink:#}");
    assert_eq!(
        (&source["action"], &sink["action"]),
        (&json!("create"), &json!("create")),
        "{context}"
    );
    assert_eq!(source["unknown"], json!([]), "{context}");
    let table = &source["tables"][0];
    assert_eq!(
        (&table["from"], &table["key"]),
        (&json!("beginning"), &json!(["id"]))
    );
    let statement = table["statement"].as_str().unwrap();
    assert!(
        statement.starts_with("SELECT ")
            && statement.contains(" WHERE ")
            && statement.ends_with("LIMIT ?"),
        "{statement}"
    );
    let total = column(table, "total");
    assert_eq!(
        (&total["sql_type"], &total["field_type"]),
        (&json!("decimal(10,2)"), &json!("Decimal(2)?"))
    );
    assert_eq!(source["topics"][0]["topic"], pipe.topic());
    assert_eq!(
        (
            &source["topics"][0]["exists"],
            &source["topics"][0]["created"]
        ),
        (&json!(false), &json!(true))
    );
    let records = source["records"].as_array().unwrap();
    assert_eq!(records.len(), 3, "{context}");
    assert_eq!(
        records[0]["record"]["value"]["payload"]["customer"], "",
        "after the transforms"
    );
    assert_eq!(sink["unknown"], json!([]), "{context}");
    let targets = sink["targets"].as_array().unwrap();
    let target = targets
        .iter()
        .find(|target| target["table"].as_str().unwrap().contains("orders"))
        .unwrap();
    assert_eq!(target["exists"], false);
    let ddl = target["statements"][0].as_str().unwrap();
    assert!(
        ddl.starts_with("CREATE TABLE IF NOT EXISTS") && ddl.contains("`total` DECIMAL(65,2) NULL"),
        "{ddl}"
    );
    assert_eq!(column(target, "placed")["field_type"], "Timestamp?");
    let summary = source["summary"].as_str().unwrap();
    assert!(
        summary.contains("1 table read from the beginning") && summary.contains("1 topic created"),
        "{summary}"
    );
}

#[tokio::test]
async fn a_plan_writes_nothing() {
    let (server, rest, topics) = (
        lab().mariadb(),
        lab().worker().rest(),
        lab().kafka().topics(),
    );
    let (pipe, mut connection) = orders("untouched").await;
    let catalog = format!(
        "SELECT table_schema, table_name, create_time FROM information_schema.tables WHERE table_schema IN ('{}', '{}')",
        pipe.name, pipe.copy
    );
    let rows = "CHECKSUM TABLE orders";
    let before = (
        texts(&mut connection, &catalog).await,
        texts(&mut connection, rows).await,
    );
    let sequence = json!({"mode": "timestamp+incrementing", "timestamp.column.name": "placed", "validate.non.null": "false"});
    let found = plans(
        rest,
        &both(&pipe, server, sequence, json!({"auto.evolve": "true"})),
    )
    .await;
    assert_eq!(
        found[1]["targets"].as_array().unwrap().len(),
        2,
        "{:#}",
        found[1]
    );
    assert_eq!(
        (
            texts(&mut connection, &catalog).await,
            texts(&mut connection, rows).await
        ),
        before
    );
    assert!(!topics.exists(&pipe.topic()));
    assert!(
        !topics
            .groups()
            .contains(&format!("connect-{}", pipe.sink_name()))
    );
    for name in [pipe.source_name(), pipe.sink_name()] {
        rest.get(&format!("/connectors/{name}")).await.expect(404);
        rest.get(&format!("/v1/connectors/{name}/history"))
            .await
            .expect(404);
    }
}

#[tokio::test]
async fn a_query_that_writes_changes_nothing_while_it_is_planned() {
    let (postgres, rest) = (lab().postgres(), lab().worker().rest());
    let name = unique("writing_query");
    let mut connection = postgres.create_database(&name).await;
    let sql = "CREATE TABLE calls (n INT); CREATE FUNCTION log_call() RETURNS INT LANGUAGE SQL AS 'INSERT INTO calls VALUES (1) RETURNING n'";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let config = json!({"name": name, "connector.class": "JdbcSource", "connection.url": postgres.jdbc_url(&name), "mode": "bulk",
        "connection.user": testkit::Postgres::USER, "connection.password": testkit::Postgres::PASSWORD,
        "query": "SELECT log_call() AS n", "topic.prefix": name});
    let found = plans(rest, &config).await;
    let error = found[0]["tables"][0]["error"].as_str().unwrap();
    assert!(error.contains("read-only transaction"), "{error}");
    let calls = testkit::postgres::texts(&mut connection, "SELECT n::text FROM calls").await;
    assert_eq!(calls.len(), 0);
}

#[tokio::test]
async fn the_ddl_of_a_plan_is_what_the_target_receives() {
    let options = ["--general-log=1", "--log-output=TABLE"];
    let target = MariaDb::start_with_options(lab().scratch(), "planned-target", &options);
    let rest = lab().worker().rest();
    let (pipe, _connection) = orders("ddl").await;
    let mut log = target.create_database(&pipe.copy).await;
    let connectors = json!([
        {"name": pipe.source_name(), "config": pipe.source(lab().mariadb(), json!({}))},
        {"name": pipe.sink_name(), "config": pipe.sink(&target, json!({"pk.mode": "record_value", "pk.fields": "id"}))},
    ]);
    let found = plans(rest, &connectors).await;
    let mut planned: Vec<String> = Vec::new();
    for table in found[1]["targets"].as_array().unwrap() {
        let statements = table["statements"].as_array().unwrap();
        planned.extend(
            statements
                .iter()
                .map(|sql| sql.as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(
        planned.len(),
        2,
        "the table of offsets, and that of the rows: {:#}",
        found[1]
    );
    for connector in connectors.as_array().unwrap() {
        rest.post("/connectors", connector).await.expect(201);
    }
    pipe.wait_arrived(&mut log, 3, SOON).await;
    let ddl = "SELECT CAST(argument AS CHAR) FROM mysql.general_log WHERE argument LIKE 'CREATE TABLE%' OR argument LIKE 'ALTER TABLE%'";
    let run: Vec<String> = texts(&mut log, ddl)
        .await
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    planned.sort();
    let mut run_sorted = run.clone();
    run_sorted.sort();
    run_sorted.dedup();
    assert_eq!(planned, run_sorted, "{run:?}");
    let again = plans(rest, &connectors).await;
    assert_eq!(
        (&again[0]["action"], &again[1]["action"]),
        (&json!("none"), &json!("none"))
    );
    assert_eq!(
        again[1]["targets"][0]["statements"],
        json!([]),
        "{:#}",
        again[1]
    );
    let wider = json!([{"name": pipe.source_name(), "config": pipe.source(lab().mariadb(), json!({"poll.interval.ms": "300"}))}]);
    let change = &plans(rest, &wider).await[0];
    assert_eq!(
        (
            &change["action"],
            &change["tasks_restarted"],
            &change["tables"][0]["from"]
        ),
        (&json!("change"), &json!(1), &json!("offset"))
    );
    assert_eq!(
        change["changes"],
        json!([{"key": "poll.interval.ms", "from": "200", "to": "300"}])
    );
    for name in [pipe.source_name(), pipe.sink_name()] {
        rest.remove(&name).await;
    }
}

#[tokio::test]
async fn a_column_that_is_narrower_than_its_field_is_a_hint_in_the_plan() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let (pipe, mut connection) = orders("narrow").await;
    let sql = format!(
        "CREATE TABLE `{}`.`{}` (id SMALLINT PRIMARY KEY, customer VARCHAR(40) NOT NULL, total DECIMAL(10,2))",
        pipe.copy,
        pipe.topic()
    );
    run(&mut connection, &sql).await;
    for (evolve, says, statement) in [
        ("false", "auto.evolve=widen would widen it", None),
        ("widen", "it is widened", Some("ALTER TABLE")),
    ] {
        let found = plans(
            rest,
            &both(&pipe, server, json!({}), json!({"auto.evolve": evolve})),
        )
        .await;
        let targets = found[1]["targets"].as_array().unwrap();
        let target = targets
            .iter()
            .find(|target| target["exists"] == true)
            .unwrap();
        let hint = column(target, "id")["warning"].as_str().unwrap_or_default();
        assert!(hint.contains(says), "{target:#}");
        match statement {
            None => assert!(
                target["error"]
                    .as_str()
                    .unwrap()
                    .contains("is missing fields"),
                "{target:#}"
            ),
            Some(begins) => {
                let all = target["statements"].as_array().unwrap();
                assert!(
                    all.len() == 2
                        && all
                            .iter()
                            .all(|sql| sql.as_str().unwrap().starts_with(begins)),
                    "{target:#}"
                );
                assert_eq!(column(target, "placed")["new"], true);
            }
        }
    }
}

#[tokio::test]
async fn an_unreachable_target_leaves_the_rest_of_the_plan() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let (pipe, _connection) = orders("away").await;
    let away = json!({"connection.url": "jdbc:mariadb://127.0.0.1:1/nothing"});
    let found = plans(rest, &both(&pipe, server, json!({}), away)).await;
    assert_eq!(
        found[0]["tables"][0]["table"]
            .as_str()
            .unwrap()
            .rsplit('.')
            .next(),
        Some("orders"),
        "{:#}",
        found[0]
    );
    assert_eq!(found[0]["records"].as_array().unwrap().len(), 3);
    let gaps = found[1]["unknown"].as_array().unwrap();
    assert!(
        gaps.iter()
            .any(|gap| gap["part"] == "target" && gap["unreachable"] == true),
        "{:#}",
        found[1]
    );
    assert_eq!(found[1]["action"], "refuse", "as POST /connectors would");
}

#[tokio::test]
async fn no_part_of_a_plan_shows_a_secret() {
    let rest = lab().worker().rest();
    let (pipe, _connection) = orders("secrets").await;
    let canary = "CANARYx7";
    let with = |password: &str| {
        let url = format!(
            "{}?password={canary}url",
            lab().mariadb().jdbc_url(&pipe.name)
        );
        let config = pipe.source(lab().mariadb(), json!({"connection.url": url, "connection.password": password, "my.secret.note": format!("{canary}note")}));
        json!([{"name": pipe.source_name(), "config": config}])
    };
    for connectors in [with(&format!("{canary}one")), with(MariaDb::PASSWORD)] {
        let found = plans(rest, &connectors).await;
        let shown = Value::Array(found).to_string();
        assert!(!shown.contains(canary), "{shown}");
    }
}

#[tokio::test]
async fn every_example_config_has_a_plan() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    examples::make_tables(server).await;
    let mut planned = 0;
    for name in examples::configs() {
        let found = plans(rest, &examples::config(server, &name)).await;
        let plan = &found[0];
        assert_ne!(plan["action"], "refuse", "{name}: {plan:#}");
        let summary = plan["summary"].as_str().unwrap();
        assert!(
            summary.starts_with(plan["name"].as_str().unwrap()),
            "{summary}"
        );
        planned += 1;
    }
    assert!(planned >= 12, "only {planned} examples found");
}

#[tokio::test]
async fn requests_that_are_no_plans_are_refused_with_what_is_wrong() {
    let rest = lab().worker().rest();
    let class = "JdbcSource";
    for (body, says) in [
        (
            json!([{"config": {"connector.class": class}}]),
            "each connector needs a name",
        ),
        (
            json!([{"name": "x"}]),
            "Connector config {name=x} contains no connector type",
        ),
        (
            json!({"name": "x", "connector.class": "None"}),
            "Failed to find any class that implements Connector",
        ),
        (
            json!(vec![json!({"name": "x", "connector.class": class}); 21]),
            "21 connectors are too many",
        ),
        (json!(7), ""),
    ] {
        let answer = rest.post("/v1/plans", &body).await.expect(400);
        assert!(
            answer.message().contains(says),
            "{body}: {}",
            answer.message()
        );
    }
}
