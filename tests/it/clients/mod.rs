//! Programs that others wrote for Kafka Connect's REST API, as their authors publish them, against a worker.

mod kafka_connect_py;
mod kafkaconnect;
mod newman;
mod schemathesis;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Rowferry, unique};

use crate::lab;

/// A command-line client, and which of its commands were called.
struct Client {
    program: PathBuf,
    /// Arguments before each command: where the worker is.
    before: Vec<String>,
    called: RefCell<BTreeSet<String>>,
}

impl Client {
    fn new(program: &str, before: &[&str]) -> Self {
        let before = before.iter().map(|&argument| argument.to_owned()).collect();
        Self {
            program: testkit::python_program(program),
            before,
            called: RefCell::default(),
        }
    }

    /// What a command prints. It must succeed.
    fn call(&self, arguments: &[&str]) -> String {
        self.called.borrow_mut().insert(arguments[0].to_owned());
        let output = Command::new(&self.program)
            .args(&self.before)
            .args(arguments)
            .output()
            .unwrap();
        let (printed, errors) = (text_of(&output.stdout), text_of(&output.stderr));
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{printed}\n{errors}",
            output.status
        );
        printed
    }

    /// The same as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.call(arguments);
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
    }

    /// A command that prints nothing when it went well.
    fn silent(&self, arguments: &[&str]) {
        assert_eq!(self.call(arguments), "", "{arguments:?}");
    }

    /// Every command that its help lists was called.
    fn assert_whole(&self) {
        let output = Command::new(&self.program).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let (_, commands) = help.split_once("Commands:").expect("a list of commands");
        let listed: BTreeSet<String> = commands
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        let called = self.called.borrow();
        let missing: Vec<_> = listed.difference(&called).collect();
        assert!(
            listed.len() > 10 && missing.is_empty(),
            "not called: {missing:?}, of {listed:?}"
        );
    }
}

/// What a program printed.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// A worker of its own with a database of two rows, and a source's config for it.
async fn worker_and_source(name: &str) -> (Rowferry, Value) {
    let name = unique(name);
    let mut connection = lab().mariadb().create_database(&name).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
        "connection.url": lab().mariadb().jdbc_url(&name), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "mode": "incrementing", "incrementing.column.name": "id",
        "table.whitelist": "t", "topic.prefix": format!("{name}-"), "poll.interval.ms": "200", "tasks.max": "1"});
    (lab().own_worker(&name), config)
}

/// A config as a file.
fn written(name: &str, body: &Value) -> String {
    let path = lab()
        .scratch()
        .path()
        .join(format!("{}.json", unique(name)));
    std::fs::write(&path, body.to_string()).unwrap();
    path.display().to_string()
}
