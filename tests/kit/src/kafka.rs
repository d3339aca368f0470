//! A private Apache Kafka: one KRaft node on loopback, and its Java command-line tools.
//!
//! Beside the plain listener it has one with SASL and one with TLS: see [`Secure`].

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::Topics;
use crate::lab::{Scratch, free_port};
use crate::process::{Process, Program, fetched, find};
use crate::secure::{Secure, properties};

/// A running broker. Its data survives [`Kafka::kill`] and [`Kafka::restart`].
pub struct Kafka {
    port: u16,
    secure: Secure,
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
        let folder = scratch.folder(name, None);
        let secure = Secure::new(&folder, free_port(), free_port());
        let properties = folder.join("server.properties");
        let text = server_properties(&folder, port, free_port(), &secure);
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
        let mut format = vec!["kafka.tools.StorageTool", "format", "-t", "cm93ZmVycnktdGVzdGtpdA", "-c", &properties];
        format.extend(users.iter().flat_map(|user| ["--add-scram", user]));
        let quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
        Program { args: java(&jars(), &logging, &quick, &format), ..base.clone() }.run();
        let heap = ["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"];
        let program = Program { args: java(&jars(), &logging, &heap, &["kafka.Kafka", &properties]), ..base };
        let process = Mutex::new(start_program(&program, port));
        Self { port, secure, program, process }
    }

    /// `127.0.0.1:port`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its listeners with SASL and TLS.
    pub fn secure(&self) -> &Secure {
        &self.secure
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
        *self.process.lock().expect("lock of the broker") = start_program(&self.program, self.port);
    }

    /// Writes lines to a topic with Kafka's own console producer (Java), one record a line, compressed by `codec`:
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub fn console_produce(&self, topic: &str, codec: &str, lines: &[String]) {
        let logging = self.program.folder.join("log4j2.properties");
        let brokers = self.brokers();
        let tool = ["org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", &brokers, "--topic", topic];
        let mut args = java(&jars(), &logging, &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"], &tool);
        args.extend(["--compression-codec".to_owned(), codec.to_owned()]);
        let mut command = Command::new(&args[0]);
        let mut child = command.args(&args[1..]).stdin(Stdio::piped()).spawn().expect("start the console producer");
        let mut input = child.stdin.take().expect("standard input of the console producer");
        for line in lines {
            std::io::Write::write_all(&mut input, format!("{line}\n").as_bytes()).expect("write a record");
        }
        drop(input);
        assert!(child.wait().expect("wait for the console producer").success(), "the console producer failed");
    }
}

fn start_program(program: &Program, port: u16) -> Process {
    let process = program.start();
    let topics = Topics::new(&format!("127.0.0.1:{port}"));
    process.ready(Duration::from_secs(90), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() && topics.broker_answers()
    });
    process
}

/// A Java command line with the jars of a folder.
pub(crate) fn java(jars: &Path, logging: &Path, options: &[&str], class_and_args: &[&str]) -> Vec<String> {
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

fn server_properties(folder: &Path, port: u16, controller: u16, secure: &Secure) -> String {
    let (sasl, tls, more) = (secure.sasl(), secure.tls(), properties(folder));
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},SASL://{sasl},TLS://{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://{sasl},TLS://{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT
{more}log.dirs={folder}/data
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
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
