//! A private Apache Kafka: one KRaft node on loopback, and its Java command-line tools.
//!
//! Besides the plain listener it has one with SASL and one with TLS (see [`Secure`]), and some for a [`KafkaProxy`].
//!
//! [`KafkaProxy`]: crate::KafkaProxy

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Topics;
use crate::lab::{Scratch, free_port};
use crate::process::{Process, Program, fetched, find};
use crate::secure::{Secure, properties};

/// Listeners for proxies.
const PROXIED: usize = 16;

/// A running broker. Its data survives [`Kafka::kill`] and [`Kafka::restart`].
pub struct Kafka {
    port: u16,
    secure: Secure,
    /// Ports of listeners, each with the port that it advertises.
    proxied: Vec<(u16, u16)>,
    proxies: AtomicUsize,
    program: Program,
    process: Mutex<Process>,
}

impl Kafka {
    /// Formats a data folder and starts a broker on a free port.
    pub fn start(scratch: &Scratch, name: &str) -> Self {
        Self::start_on(scratch, name, free_port())
    }

    /// The same on a given port.
    pub fn start_on(scratch: &Scratch, name: &str, port: u16) -> Self {
        let broker = Self::format(
            scratch,
            name,
            &Node {
                id: 1,
                port,
                voters: &[(1, free_port())],
            },
        );
        broker.wait_ready();
        broker
    }

    /// Starts so many brokers that are one cluster; topics have a copy on each of up to three.
    pub fn start_cluster(scratch: &Scratch, name: &str, brokers: usize) -> Vec<Self> {
        let voters: Vec<_> = (1..=brokers).map(|id| (id, free_port())).collect();
        let start = |&(id, _): &(usize, u16)| {
            Self::format(
                scratch,
                &format!("{name}-{id}"),
                &Node {
                    id,
                    port: free_port(),
                    voters: &voters,
                },
            )
        };
        let cluster: Vec<_> = voters.iter().map(start).collect();
        cluster.iter().for_each(Self::wait_ready);
        cluster
    }

    /// Formats its data folder and starts it, without waiting for it.
    fn format(scratch: &Scratch, name: &str, node: &Node<'_>) -> Self {
        let folder = scratch.folder(name, None);
        let secure = Secure::new(&folder, free_port(), free_port());
        let proxied: Vec<_> = (0..PROXIED).map(|_| (free_port(), free_port())).collect();
        let properties = folder.join("server.properties");
        let text = server_properties(&folder, node, &secure, &proxied);
        std::fs::write(&properties, text).expect("write server.properties");
        let logging = folder.join("log4j2.properties");
        std::fs::write(&logging, LOGGING).expect("write log4j2.properties");
        let properties = properties.display().to_string();
        let base = Program {
            name: name.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            folder,
            user: None,
            log: scratch.log(name),
        };
        let users = Secure::scram_users();
        let mut format = vec![
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "cm93ZmVycnktdGVzdGtpdA",
            "-c",
            &properties,
        ];
        format.extend(users.iter().flat_map(|user| ["--add-scram", user]));
        let quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
        Program {
            args: java(&jars(), &logging, &quick, &format),
            ..base.clone()
        }
        .run();
        let heap = ["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"];
        let program = Program {
            args: java(&jars(), &logging, &heap, &["kafka.Kafka", &properties]),
            ..base
        };
        let process = Mutex::new(program.start());
        Self {
            port: node.port,
            secure,
            proxied,
            proxies: AtomicUsize::new(0),
            program,
            process,
        }
    }

    fn wait_ready(&self) {
        let (port, topics) = (self.port, self.topics());
        self.process
            .lock()
            .expect("lock of the broker")
            .ready(Duration::from_secs(90), || {
                std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() && topics.broker_answers()
            });
    }

    /// `127.0.0.1:port`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its listeners with SASL and TLS.
    pub fn secure(&self) -> &Secure {
        &self.secure
    }

    /// The port of a listener that was not given before, and the port that it advertises, where nobody listens yet.
    pub fn proxied(&self) -> (u16, u16) {
        let next = self.proxies.fetch_add(1, Ordering::Relaxed);
        *self
            .proxied
            .get(next)
            .unwrap_or_else(|| panic!("more than {PROXIED} proxies before one broker"))
    }

    /// Clients of its topics.
    pub fn topics(&self) -> Topics {
        Topics::new(&self.brokers())
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.process.lock().expect("lock of the broker").kill();
    }

    /// Starts it again on the same data and port, after [`Self::kill`].
    pub fn restart(&self) {
        *self.process.lock().expect("lock of the broker") = self.program.start();
        self.wait_ready();
    }

    /// SIGSTOP: it is frozen until [`Self::thaw`].
    pub fn freeze(&self) {
        self.process
            .lock()
            .expect("lock of the broker")
            .signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process
            .lock()
            .expect("lock of the broker")
            .signal("CONT");
    }

    /// Writes lines to a topic with Kafka's own console producer (Java), one record a line, compressed by `codec`:
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub fn console_produce(&self, topic: &str, codec: &str, lines: &[String]) {
        let logging = self.program.folder.join("log4j2.properties");
        let brokers = self.brokers();
        let tool = [
            "org.apache.kafka.tools.ConsoleProducer",
            "--bootstrap-server",
            &brokers,
            "--topic",
            topic,
        ];
        let mut args = java(
            &jars(),
            &logging,
            &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
            &tool,
        );
        args.extend(["--compression-codec".to_owned(), codec.to_owned()]);
        let mut command = Command::new(&args[0]);
        let mut child = command
            .args(&args[1..])
            .stdin(Stdio::piped())
            .spawn()
            .expect("start the console producer");
        let mut input = child
            .stdin
            .take()
            .expect("standard input of the console producer");
        for line in lines {
            std::io::Write::write_all(&mut input, format!("{line}\n").as_bytes())
                .expect("write a record");
        }
        drop(input);
        assert!(
            child
                .wait()
                .expect("wait for the console producer")
                .success(),
            "the console producer failed"
        );
    }
}

/// A Java command line with the jars of a folder.
pub(crate) fn java(
    jars: &Path,
    logging: &Path,
    options: &[&str],
    class_and_args: &[&str],
) -> Vec<String> {
    let mut args = vec![find("java").display().to_string()];
    args.extend(options.iter().map(|&option| option.to_owned()));
    args.push(format!("-Dlog4j2.configurationFile={}", logging.display()));
    args.push("-cp".to_owned());
    args.push(format!("{}/*", jars.display()));
    args.extend(class_and_args.iter().map(|&arg| arg.to_owned()));
    args
}

/// The folder of Kafka's jars, fetched if they are not there.
fn jars() -> PathBuf {
    fetched("kafka", "pom.xml")
}

/// What log4j writes, for Kafka's own programs.
pub(crate) const LOGGING: &str = "\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.target=SYSTEM_ERR
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c: %m%n
";

/// One broker of a cluster.
struct Node<'a> {
    id: usize,
    port: u16,
    /// Ids of all brokers and the ports of their controllers.
    voters: &'a [(usize, u16)],
}

fn server_properties(
    folder: &Path,
    node: &Node<'_>,
    secure: &Secure,
    proxied: &[(u16, u16)],
) -> String {
    let (sasl, tls, more) = (secure.sasl(), secure.tls(), properties(folder));
    let Node { id, port, voters } = node;
    let controller = voters
        .iter()
        .find(|(voter, _)| voter == id)
        .expect("it is a voter")
        .1;
    let quorum = voters
        .iter()
        .map(|(id, port)| format!("{id}@127.0.0.1:{port}"))
        .collect::<Vec<_>>()
        .join(",");
    let of_each = |text: &dyn Fn(usize, (u16, u16)) -> String| -> String {
        proxied
            .iter()
            .enumerate()
            .map(|(n, ports)| text(n, *ports))
            .collect()
    };
    let listeners = of_each(&|n, (port, _)| format!(",PROXIED{n}://127.0.0.1:{port}"));
    let advertised = of_each(&|n, (_, port)| format!(",PROXIED{n}://127.0.0.1:{port}"));
    let plain = of_each(&|n, _| format!(",PROXIED{n}:PLAINTEXT"));
    let threads = of_each(&|n, _| format!("listener.name.proxied{n}.num.network.threads=1\n"));
    let (copies, in_sync) = (voters.len().min(3), if voters.len() < 3 { 1 } else { 2 });
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={quorum}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},SASL://{sasl},TLS://{tls},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://{sasl},TLS://{tls}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT{plain}
{more}log.dirs={folder}/data
num.partitions=1
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={copies}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
log.retention.ms=-1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
num.network.threads=2
{threads}num.io.threads=4
background.threads=2
",
        folder = folder.display()
    )
}
