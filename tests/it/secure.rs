//! Kafka behind TLS and SASL: a row makes the whole way through every kind of listener.

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, Secure, Settings, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// A row through a worker with these keys, from table to table.
async fn a_row_goes_through(name: &str, brokers: String, keys: &[(&str, &str)]) {
    let group = unique(name);
    let settings = Settings::serve(&group, brokers);
    let settings = keys.iter().fold(settings, |settings, (key, value)| settings.with(key, value));
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), name, "t").await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'by way of Kafka')")
        .await;
    pipeline.create(worker.rest(), lab().mariadb(), json!({}), json!({})).await;
    pipeline.wait_arrived(&mut connection, 1, SOON).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 1);
    assert!(!worker.log().contains(Secure::PASSWORD), "the log shows no password");
}

async fn with_password(name: &str, mechanism: &str, module: &str) {
    let (user, password) = (Secure::USER, Secure::PASSWORD);
    let jaas =
        format!(r#"org.apache.kafka.common.security.{module} required username="{user}" password="{password}";"#);
    let keys =
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", mechanism), ("sasl.jaas.config", jaas.as_str())];
    a_row_goes_through(name, lab().kafka().secure().sasl(), &keys).await;
}

#[tokio::test]
async fn sasl_plain_lets_a_row_through() {
    with_password("plain", "PLAIN", "plain.PlainLoginModule").await;
}

#[tokio::test]
async fn sasl_scram_lets_a_row_through() {
    tokio::join!(
        with_password("scram256", "SCRAM-SHA-256", "scram.ScramLoginModule"),
        with_password("scram512", "SCRAM-SHA-512", "scram.ScramLoginModule")
    );
}

#[tokio::test]
async fn tls_lets_a_row_through() {
    let secure = lab().kafka().secure();
    let certificate = secure.certificate().display().to_string();
    let keys = [
        ("security.protocol", "SSL"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", certificate.as_str()),
    ];
    a_row_goes_through("tls", secure.tls(), &keys).await;
}

#[tokio::test]
async fn a_wrong_password_is_named_in_the_status() {
    let keys = |password: &str| {
        let jaas = format!(r#"PlainLoginModule required username="ann" password="{password}";"#);
        [
            ("security.protocol", "SASL_PLAINTEXT".to_owned()),
            ("sasl.mechanism", "PLAIN".to_owned()),
            ("sasl.jaas.config", jaas),
        ]
    };
    let settings = Settings::serve(&unique("wrong"), lab().kafka().secure().sasl());
    let settings = keys("not it").iter().fold(settings, |settings, (key, value)| settings.with(key, value));
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "wrong", "t").await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let name = pipeline.source_name();
    worker.rest().create(&name, &pipeline.source(lab().mariadb(), json!({}))).await;
    let mut status = String::new();
    testkit::for_condition("authentication in the status", SOON, async || {
        status = worker.rest().get(&format!("/connectors/{name}/status")).await.text;
        status.contains("uthenticat")
    })
    .await;
    assert!(!status.contains("not it"), "{status}");
}
