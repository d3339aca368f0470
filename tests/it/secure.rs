//! Kafka behind TLS and SASL: a row makes the whole way through every kind of listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, Secure, Settings, for_condition, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// A row through a worker with these keys, from table to table.
async fn a_row_goes_through(name: &str, brokers: String, keys: &[(&str, &str)]) {
    let group = unique(name);
    let settings = Settings::serve(&group, brokers);
    let settings = keys
        .iter()
        .fold(settings, |settings, (key, value)| settings.with(key, value));
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), name, "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'by way of Kafka')",
    )
    .await;
    pipeline
        .create(worker.rest(), lab().mariadb(), json!({}), json!({}))
        .await;
    pipeline.wait_arrived(&mut connection, 1, SOON).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 1);
    assert!(
        !worker.log().contains(Secure::PASSWORD),
        "the log shows no password"
    );
}

async fn with_password(name: &str, mechanism: &str, module: &str) {
    let (user, password) = (Secure::USER, Secure::PASSWORD);
    let jaas = format!(
        r#"org.apache.kafka.common.security.{module} required username="{user}" password="{password}";"#
    );
    let keys = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", mechanism),
        ("sasl.jaas.config", jaas.as_str()),
    ];
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

/// An issuer of tokens (RFC 6749, 4.4): a client with the secret of `rowferry` gets one for Ann, while it is `willing`.
/// Returns its address.
async fn token_endpoint(willing: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({"sub": Secure::USER, "iat": now, "exp": now + 3600});
    let token = format!("{}.{}.", encoded(json!({"alg": "none"})), encoded(claims));
    let answer =
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string();
    let secret = format!("basic {}", STANDARD.encode("rowferry:it is me")).to_lowercase();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let mut length = 0;
            while !String::from_utf8_lossy(&request[..length])
                .contains("grant_type=client_credentials")
            {
                match stream.read(&mut request[length..]).await {
                    Ok(read) if read > 0 => length += read,
                    _ => break,
                }
            }
            let known = String::from_utf8_lossy(&request[..length])
                .to_lowercase()
                .contains(&secret);
            let known = known && willing.load(Ordering::Relaxed);
            let (status, body) = if known {
                ("200 OK", answer.as_str())
            } else {
                ("401 Unauthorized", "{}")
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            let _ = stream
                .write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())
                .await;
        }
    });
    url
}

/// Worker keys for tokens of that issuer.
fn with_tokens(url: &str) -> [(&str, &str); 5] {
    let jaas = r#"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="rowferry" clientSecret="it is me" scope="kafka";"#;
    let handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
    [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.token.endpoint.url", url),
        ("sasl.login.callback.handler.class", handler),
        ("sasl.jaas.config", jaas),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn sasl_oauthbearer_with_tokens_of_an_issuer_lets_a_row_through() {
    let url = token_endpoint(Arc::new(AtomicBool::new(true))).await;
    a_row_goes_through("oauth", lab().kafka().secure().sasl(), &with_tokens(&url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reports_that_kafka_refuses_the_worker_and_why_at_the_start_and_later() {
    let willing = Arc::new(AtomicBool::new(false));
    let url = token_endpoint(Arc::clone(&willing)).await;
    let settings = Settings::serve(&unique("refused"), lab().kafka().secure().sasl());
    let settings = with_tokens(&url)
        .iter()
        .fold(settings, |settings, (key, value)| settings.with(key, value));
    let worker = Rowferry::start(lab().scratch(), settings);
    let health = async |status: u16, word: &str, reported: &str| {
        let mut last = String::new();
        for_condition(&format!("health to be {word}"), SOON, async || {
            let answer = worker.rest().get("/health").await;
            last = answer.text.clone();
            answer.status == status
                && answer.body["status"] == word
                && answer.body["message"].to_string().contains(reported)
        })
        .await;
        last
    };
    let text = health(503, "starting", "OAUTHBEARER").await;
    assert!(
        text.contains("check the security.protocol, sasl.*") && !text.contains("it is me"),
        "{text}"
    );
    willing.store(true, Ordering::Relaxed);
    for_condition("the cluster's id", SOON, async || {
        worker.rest().get("/").await.expect(200).body["kafka_cluster_id"] != ""
    })
    .await;
    // The client that asks for health is a new one, without a token yet.
    willing.store(false, Ordering::Relaxed);
    let text = health(500, "unhealthy", "OAUTHBEARER").await;
    assert!(
        text.contains("check the security.protocol, sasl.*"),
        "{text}"
    );
    willing.store(true, Ordering::Relaxed);
    health(200, "healthy", "").await;
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
    let settings = keys("not it")
        .iter()
        .fold(settings, |settings, (key, value)| settings.with(key, value));
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(lab().mariadb(), "wrong", "t").await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let name = pipeline.source_name();
    worker
        .rest()
        .create(&name, &pipeline.source(lab().mariadb(), json!({})))
        .await;
    let mut status = String::new();
    for_condition("authentication in the status", SOON, async || {
        status = worker
            .rest()
            .get(&format!("/connectors/{name}/status"))
            .await
            .text;
        status.contains("uthenticat")
    })
    .await;
    assert!(!status.contains("not it"), "{status}");
}
