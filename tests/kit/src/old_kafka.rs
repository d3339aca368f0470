//! A private Apache Kafka 2.7 with its ZooKeeper, on loopback: the oldest broker that Rowferry is tested with.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::Topics;
use crate::kafka::java;
use crate::lab::{Scratch, free_port};
use crate::process::{Process, Program, fetched};

/// How long ZooKeeper or the broker may take to start.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// A running broker. Its data survives [`OldKafka::kill`] and [`OldKafka::restart`].
pub struct OldKafka {
    port: u16,
    broker: Program,
    process: Mutex<Process>,
    _zookeeper: Process,
}

impl OldKafka {
    /// Starts ZooKeeper and a broker on free ports.
    pub fn start(scratch: &Scratch, name: &str) -> Self {
        let folder = scratch.folder(name, None);
        let (zookeeper_port, port) = (free_port(), free_port());
        let write = |file: &str, text: String| {
            let path = folder.join(file);
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("write {file}: {error}"));
            path.display().to_string()
        };
        let of_zookeeper = write("zookeeper.properties", zookeeper(&folder, zookeeper_port));
        let of_broker = write("server.properties", server(&folder, port, zookeeper_port));
        let logging = write("log4j.properties", LOGGING.to_owned());
        let program = |what: &str, heap: &str, class: &str, settings: &str| {
            let logging_option = format!("-Dlog4j.configuration=file:{logging}");
            let options = [heap, "-XX:+UseSerialGC", &logging_option];
            let jars = fetched("kafka-2.7", "pom.xml");
            Program {
                name: format!("{name}-{what}"),
                args: java(&jars, Path::new(&logging), &options, &[class, settings]),
                env: Vec::new(),
                folder: folder.clone(),
                user: None,
                log: scratch.log(&format!("{name}-{what}")),
            }
        };
        let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        let zookeeper = program("zookeeper", "-Xmx128m", class, &of_zookeeper).start();
        zookeeper.ready(READY_WITHIN, || {
            std::net::TcpStream::connect(("127.0.0.1", zookeeper_port)).is_ok()
        });
        let broker = program("broker", "-Xmx512m", "kafka.Kafka", &of_broker);
        Self {
            process: Mutex::new(started(&broker, port)),
            port,
            broker,
            _zookeeper: zookeeper,
        }
    }

    /// `127.0.0.1:port`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Clients of its topics.
    pub fn topics(&self) -> Topics {
        Topics::new(&self.brokers())
    }

    /// `kill -9` of the broker.
    pub fn kill(&self) {
        self.process.lock().expect("lock of the broker").kill();
    }

    /// Starts it again on the same data and port, after [`Self::kill`].
    pub fn restart(&self) {
        let process = started(&self.broker, self.port);
        *self.process.lock().expect("lock of the broker") = process;
    }
}

/// Starts a broker until it answers. One ends while the session of its predecessor with ZooKeeper lasts.
fn started(broker: &Program, port: u16) -> Process {
    let (until, topics) = (
        Instant::now() + READY_WITHIN,
        Topics::new(&format!("127.0.0.1:{port}")),
    );
    loop {
        let process = broker.start();
        while process.is_running() {
            let is_open = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            if is_open && topics.broker_answers() {
                return process;
            }
            assert!(Instant::now() < until, "{} does not answer", broker.name);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(Instant::now() < until, "{} does not start", broker.name);
    }
}

const LOGGING: &str = "\
log4j.rootLogger=WARN, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.target=System.err
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%d %p %c: %m%n
";

fn zookeeper(folder: &Path, port: u16) -> String {
    format!(
        "tickTime=500
dataDir={folder}/zookeeper
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
",
        folder = folder.display()
    )
}

fn server(folder: &Path, port: u16, zookeeper: u16) -> String {
    format!(
        "broker.id=1
zookeeper.connect=127.0.0.1:{zookeeper}
zookeeper.session.timeout.ms=6000
listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={folder}/data
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.ms=-1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
background.threads=2
",
        folder = folder.display()
    )
}
