//! Converters with a schema registry, end to end: both connectors, real Kafka and MariaDB, the kit's registry.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Rowferry, SchemaRegistry, Settings, for_condition, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
const PROTOBUF: &str = "io.confluent.connect.protobuf.ProtobufConverter";
const JSON_SCHEMA: &str = "io.confluent.connect.json.JsonSchemaConverter";

const TABLE: &str = "CREATE TABLE people (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NULL, small TINYINT NOT NULL, \
    big BIGINT NULL, ratio DOUBLE NULL, price DECIMAL(12,2) NOT NULL, born DATE NULL, seen TIMESTAMP(3) NULL, blob1 BLOB NULL)";
const ROWS: &str = "INSERT INTO people (name, small, big, ratio, price, born, seen, blob1) VALUES \
    ('Ann', 1, 9223372036854775807, 0.1, 12.34, '1999-12-31', '2020-02-29 12:34:56.789', x'00ff'), \
    (NULL, -128, NULL, NULL, -0.01, NULL, NULL, NULL), ('Zoë 😀', 127, 0, -1e300, 9999999999.99, '1970-01-01', '2038-01-01 00:00:00.000', x'')";

/// Settings of both converters, or of the value's alone where keys are no structs.
fn converters(class: &str, registry: &SchemaRegistry, more: &[(&str, &str)]) -> Value {
    let mut config = json!({});
    let sides: &[&str] = if class == PROTOBUF {
        &["value"]
    } else {
        &["key", "value"]
    };
    for side in sides {
        config[format!("{side}.converter")] = json!(class);
        config[format!("{side}.converter.schema.registry.url")] = json!(registry.url());
        for (name, value) in more {
            config[format!("{side}.converter.{name}")] = json!(value);
        }
    }
    config
}

async fn rows_arrive_the_same(class: &str, schema_type: Option<&str>) {
    let (server, worker, registry) = (lab().mariadb(), lab().worker(), SchemaRegistry::start());
    let (pipeline, mut connection) = Pipeline::new(server, "registry", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let settings = converters(class, &registry, &[]);
    pipeline
        .create(worker.rest(), server, settings.clone(), settings)
        .await;
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    run(&mut connection, ROWS).await;
    pipeline.wait_arrived(&mut connection, 6, SOON).await;
    pipeline.assert_same(&mut connection).await;
    let topic = pipeline.topic();
    let subject = format!("{topic}-value");
    let registered = registry.latest(&subject).expect("a schema of the values");
    assert_eq!(registered["schemaType"].as_str(), schema_type);
    for entry in lab().kafka().topics().read(&topic) {
        assert_eq!(
            entry.value.expect("a value").first_chunk::<4>(),
            Some(&[0, 0, 0, 0]),
            "magic byte and the id"
        );
    }
    let asked = registry
        .requests()
        .iter()
        .filter(|request| request.contains(&subject))
        .count();
    assert_eq!(
        asked,
        1,
        "each schema is registered once: {:?}",
        registry.requests()
    );
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn rows_arrive_the_same_as_avro() {
    rows_arrive_the_same(AVRO, None).await;
}

#[tokio::test]
async fn rows_arrive_the_same_as_protobuf() {
    rows_arrive_the_same(PROTOBUF, Some("PROTOBUF")).await;
}

#[tokio::test]
async fn rows_arrive_the_same_as_json_with_json_schema() {
    rows_arrive_the_same(JSON_SCHEMA, Some("JSON")).await;
}

#[tokio::test]
async fn an_unreachable_registry_is_waited_for_and_no_record_is_left_out() {
    let (server, worker, registry) = (lab().mariadb(), lab().worker(), SchemaRegistry::start());
    let (pipeline, mut connection) = Pipeline::new(server, "registry_down", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    registry.stop();
    let mut sink = converters(AVRO, &registry, &[]);
    let dead = unique("registry_dead");
    sink["errors.tolerance"] = json!("all");
    sink["errors.deadletterqueue.topic.name"] = json!(dead);
    sink["errors.deadletterqueue.topic.replication.factor"] = json!("1");
    let source = converters(AVRO, &registry, &[]);
    worker
        .rest()
        .create(&pipeline.source_name(), &pipeline.source(server, source))
        .await;
    // The task's status shows it while it is retried, and not afterwards.
    let waits = async |name: &str| {
        let status = worker
            .rest()
            .get(&format!("/connectors/{name}/status"))
            .await
            .body;
        let warning = status["tasks"][0]["warning"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let waits = warning.contains("waiting: ")
            && warning.contains("the schema registry cannot be reached");
        assert!(
            !waits || warning.contains(&registry.url()) && status["tasks"][0]["state"] == "RUNNING",
            "{status}"
        );
        waits
    };
    let (source, sink_name) = (pipeline.source_name(), pipeline.sink_name());
    for_condition("the source to wait for the registry", SOON, async || {
        waits(&source).await
    })
    .await;
    let until = std::time::Instant::now() + Duration::from_secs(3);
    while std::time::Instant::now() < until {
        assert!(
            waits(&source).await,
            "what is waited for is shown until it is there"
        );
    }
    registry.start_again();
    lab()
        .kafka()
        .topics()
        .wait_for(&pipeline.topic(), 3, SOON)
        .await;
    for_condition("the source to have done with waiting", SOON, async || {
        !waits(&source).await
    })
    .await;
    registry.stop();
    worker
        .rest()
        .create(&sink_name, &pipeline.sink(server, sink))
        .await;
    for_condition("the sink to wait for the registry", SOON, async || {
        waits(&sink_name).await
    })
    .await;
    registry.start_again();
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    for_condition("the sink to have done with waiting", SOON, async || {
        !waits(&sink_name).await
    })
    .await;
    pipeline.assert_same(&mut connection).await;
    assert!(
        lab().kafka().topics().read(&dead).is_empty(),
        "a registry's outage is no fault of the records"
    );
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn refusals_of_the_registry_fail_the_task_with_its_words() {
    let (server, worker, registry) = (lab().mariadb(), lab().worker(), SchemaRegistry::start());
    registry.require("Basic bWU6c2VjcmV0");
    let (pipeline, mut connection) = Pipeline::new(server, "registry_no", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let (rest, name) = (worker.rest(), pipeline.source_name());
    let failed = async |more: &[(&str, &str)]| {
        rest.create(
            &name,
            &pipeline.source(server, converters(AVRO, &registry, more)),
        )
        .await;
        let status = rest.wait_state(&name, "FAILED", SOON).await;
        rest.remove(&name).await;
        status["tasks"][0]["trace"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let trace = failed(&[]).await;
    assert!(trace.contains("Unauthorized (401)"), "{trace}");
    let user = [
        ("basic.auth.credentials.source", "USER_INFO"),
        ("basic.auth.user.info", "me:secret"),
    ];
    let trace = failed(&[&user[..], &[("auto.register.schemas", "false")]].concat()).await;
    assert!(
        trace.contains("Subject not found (40401)") && trace.contains("auto.register.schemas"),
        "{trace}"
    );
    registry.close(&format!("{}-value", pipeline.topic()));
    let trace = failed(&user).await;
    assert!(
        trace.contains("incompatible with an earlier schema (409)") && !trace.contains("secret"),
        "{trace}"
    );
}

#[tokio::test]
async fn subjects_are_named_as_the_strategies_say() {
    let (server, worker, registry) = (lab().mariadb(), lab().worker(), SchemaRegistry::start());
    let (pipeline, mut connection) = Pipeline::new(server, "registry_names", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let names = [
        ("value.subject.name.strategy", "RecordNameStrategy"),
        ("key.subject.name.strategy", "TopicRecordNameStrategy"),
    ];
    let settings = converters(AVRO, &registry, &names);
    pipeline
        .create(worker.rest(), server, settings.clone(), settings)
        .await;
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    let (topic, subjects) = (pipeline.topic(), registry.subjects());
    let of_key = format!("{topic}-io.confluent.connect.avro.ConnectDefault");
    assert_eq!(subjects, ["people".to_owned(), of_key]);
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn a_redirect_of_the_registry_is_followed() {
    let (server, worker, registry) = (lab().mariadb(), lab().worker(), SchemaRegistry::start());
    let moved = SchemaRegistry::start();
    moved.redirect_reads(&registry.url());
    let (pipeline, mut connection) = Pipeline::new(server, "registry_moved", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let source = converters(AVRO, &registry, &[]);
    let sink = converters(AVRO, &moved, &[]);
    pipeline.create(worker.rest(), server, source, sink).await;
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    pipeline.assert_same(&mut connection).await;
    assert!(
        moved
            .requests()
            .iter()
            .any(|request| request.starts_with("GET /schemas/ids/")),
        "{:?}",
        moved.requests()
    );
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn a_registry_is_asked_through_the_proxy_of_the_environment() {
    // As a proxy, the kit's registry answers all requests itself.
    let (server, proxy, direct) = (
        lab().mariadb(),
        SchemaRegistry::start(),
        SchemaRegistry::start(),
    );
    let settings = Settings::dev(&unique("registry_proxy")).with_env("HTTP_PROXY", &proxy.url());
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(server, "registry_proxy", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let mut source = converters(AVRO, &direct, &[]);
    source["value.converter.schema.registry.url"] = json!("http://registry.invalid:8081");
    worker
        .rest()
        .create(&pipeline.source_name(), &pipeline.source(server, source))
        .await;
    let (topic, has) = (pipeline.topic(), |registry: &SchemaRegistry, side: &str| {
        registry
            .latest(&format!("{}-{side}", pipeline.topic()))
            .is_some()
    });
    for_condition("both schemas to be registered", SOON, async || {
        has(&proxy, "value") && has(&direct, "key")
    })
    .await;
    assert_eq!(
        proxy.subjects(),
        [format!("{topic}-value")],
        "what is on this machine is asked directly"
    );
    worker.rest().remove(&pipeline.source_name()).await;
}

#[tokio::test]
async fn validation_says_that_the_system_has_no_authorities_for_a_registry_over_https() {
    let name = unique("no-authorities");
    let settings = Settings::serve(&name, lab().kafka().brokers())
        .with_env("SSL_CERT_FILE", "/nowhere/ca.pem")
        .with_env("SSL_CERT_DIR", "/nowhere");
    let worker = Rowferry::start(lab().scratch(), settings);
    let config = json!({
        "name": name, "connector.class": "JdbcSink", "topics": name,
        "connection.url": lab().mariadb().jdbc_url("mysql"),
        "connection.user": testkit::MariaDb::USER, "connection.password": testkit::MariaDb::PASSWORD,
        "value.converter": AVRO, "value.converter.schema.registry.url": "https://registry.invalid:8081",
    });
    let path = "/connector-plugins/JdbcSink/config/validate";
    let infos = worker.rest().put(path, &config).await.body;
    let key = "value.converter.schema.registry.ssl.truststore.location";
    let value = infos["configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|config| &config["value"])
        .find(|value| value["name"] == key)
        .unwrap();
    let errors = value["errors"].to_string();
    assert!(
        errors.contains("the system has no authorities") && errors.contains("PEM file"),
        "{errors}"
    );
}
