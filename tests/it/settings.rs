//! Where a worker's settings come from: the file that Kafka ships, TOML, the environment, flags.

use std::time::Duration;

use testkit::{Rowferry, Settings};

use crate::command_line::local;
use crate::{SOON, lab};

/// The keys that are set in Apache Kafka's `config/connect-distributed.properties`, with another broker.
fn connect_distributed(brokers: &str) -> String {
    format!(
        "# A comment\nbootstrap.servers={brokers}\ngroup.id=connect-cluster\n\
         key.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\n\
         key.converter.schemas.enable=true\nvalue.converter.schemas.enable=true\noffset.storage.topic=connect-offsets\n\
         offset.storage.replication.factor=1\n#offset.storage.partitions=25\nconfig.storage.topic=connect-configs\n\
         config.storage.replication.factor=1\nstatus.storage.topic=connect-status\nstatus.storage.replication.factor=1\n\
         offset.flush.interval.ms=10000\n#listeners=HTTP://:8083\nplugin.path=/usr/local/share/java\n"
    )
}

/// A worker that has only a settings file, and the listener of the kit.
fn with_file(name: &str, file: &str, text: &str) -> Rowferry {
    let path = lab().scratch().path().join(file);
    std::fs::write(&path, text).unwrap();
    let mut settings = Settings::dev(name);
    settings.args = vec![
        "serve".to_owned(),
        "--config".to_owned(),
        path.display().to_string(),
    ];
    Rowferry::start(lab().scratch(), settings)
}

async fn is_on_the_lab_broker(worker: &Rowferry) {
    testkit::for_condition("the worker knows its Kafka cluster", SOON, async || {
        worker.rest().get("/").await.expect(200).body["kafka_cluster_id"]
            == "cm93ZmVycnktdGVzdGtpdA"
    })
    .await;
}

#[tokio::test]
async fn the_properties_file_of_a_kafka_connect_worker_works_as_it_is() {
    let text = connect_distributed(&lab().kafka().brokers());
    let worker = with_file("properties", "connect-distributed.properties", &text);
    is_on_the_lab_broker(&worker).await;
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

#[tokio::test]
async fn a_toml_file_works_too() {
    let brokers = lab().kafka().brokers();
    let text = format!(
        "group.id = \"toml\"\n[bootstrap]\nservers = \"{brokers}\"\n[offset.storage]\ntopic = \"toml-offsets\"\n"
    );
    let worker = with_file("toml", "worker.toml", &text);
    is_on_the_lab_broker(&worker).await;
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_ends_the_worker() {
    let path = lab().scratch().path().join("wrong.properties");
    std::fs::write(
        &path,
        "bootstrap.servers=127.0.0.1:1\nlisteners=http://127.0.0.1:0\noffset.flush.interval.ms=soon\n",
    )
    .unwrap();
    let (_, error, code) = local(&["serve".as_ref(), "--config".as_ref(), path.as_os_str()]);
    assert_ne!(code, Some(0));
    assert!(error.contains("offset.flush.interval.ms"), "{error}");
}

#[tokio::test]
async fn what_is_switched_off_is_refused() {
    let settings = |name: &str| {
        Settings::dev(name)
            .with("topic.tracking.allow.reset", "false")
            .with("admin.listeners", "")
    };
    let worker = Rowferry::start(lab().scratch(), settings("reset-off"));
    let rest = worker.rest();
    rest.get("/connectors/x/topics").await.expect(200);
    let refused = rest
        .put_empty("/connectors/x/topics/reset")
        .await
        .expect(403);
    assert_eq!(refused.message(), "Topic tracking reset is disabled.");
    assert_eq!(
        rest.get("/admin/loggers").await.expect(404).message(),
        "HTTP 404 Not Found"
    );
    let worker = Rowferry::start(
        lab().scratch(),
        settings("tracking-off").with("topic.tracking.enable", "false"),
    );
    let refused = worker.rest().get("/connectors/x/topics").await.expect(403);
    assert_eq!(refused.message(), "Topic tracking is disabled.");
}
