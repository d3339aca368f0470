//! Apache Kafka Connect itself, one distributed worker: what recordings are made from and compared with.

use std::path::Path;
use std::time::Duration;

use crate::kafka::{LOGGING, java};
use crate::lab::{Scratch, free_port, unique};
use crate::process::{Process, Program, fetched};

/// A running worker of Apache Kafka Connect, with exactly-once sources enabled.
pub struct KafkaConnect {
    base: String,
    _process: Process,
}

impl KafkaConnect {
    /// Starts a worker on a broker. Further connectors are found in `plugins`, Kafka Connect's `plugin.path`.
    pub fn start(scratch: &Scratch, brokers: &str, plugins: Option<&Path>) -> Self {
        let (name, port) = (unique("kafka-connect"), free_port());
        let folder = scratch.folder(&name, None);
        let properties = folder.join("worker.properties");
        std::fs::write(
            &properties,
            worker_properties(&name, brokers, port, plugins),
        )
        .expect("write the properties");
        let logging = folder.join("log4j2.properties");
        std::fs::write(&logging, LOGGING).expect("write log4j2.properties");
        let class = "org.apache.kafka.connect.cli.ConnectDistributed";
        let heap = ["-Xms128m", "-Xmx768m", "-XX:+UseSerialGC"];
        let args = java(
            &fetched("connect", "pom.xml"),
            &logging,
            &heap,
            &[class, &properties.display().to_string()],
        );
        let log = scratch.log(&name);
        let process = Program {
            name,
            args,
            env: Vec::new(),
            folder,
            user: None,
            log,
        }
        .start();
        process.ready(Duration::from_secs(120), || is_healthy(port));
        Self {
            base: format!("http://127.0.0.1:{port}"),
            _process: process,
        }
    }

    /// The address of its REST API.
    pub fn base(&self) -> &str {
        &self.base
    }
}

fn is_healthy(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(15)));
    let mut answer = String::new();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn worker_properties(name: &str, brokers: &str, port: u16, plugins: Option<&Path>) -> String {
    let plugins = plugins
        .map(|path| format!("plugin.path={}\n", path.display()))
        .unwrap_or_default();
    format!(
        "bootstrap.servers={brokers}
group.id={name}
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.storage.topic={name}-configs
offset.storage.topic={name}-offsets
status.storage.topic={name}-status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=3
status.storage.partitions=2
offset.flush.interval.ms=1000
exactly.once.source.support=enabled
scheduled.rebalance.max.delay.ms=0
plugin.discovery=hybrid_warn
{plugins}"
    )
}
