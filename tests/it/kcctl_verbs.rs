//! The table of kcctl's verbs in docs/command-line.md: each of its commands runs, on a worker of Rowferry and on Apache
//! Kafka Connect. And what commands print where nobody has set a terminal up.

use std::path::Path;

use serde_json::json;
use testkit::{KafkaConnect, Rest, unique};

use crate::command_line::{Printed, printed, printed_with, program};
use crate::{SOON, lab};

const CLASS: &str = "org.apache.kafka.connect.file.FileStreamSourceConnector";
const SINK: &str = "org.apache.kafka.connect.file.FileStreamSinkConnector";

/// The commands of the table, without the name of the program.
fn documented() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string("docs/command-line.md").unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, theirs, ours, _] = cells.as_slice() else {
            return None;
        };
        let command = ours.strip_prefix("`rowferry ")?.strip_suffix('`')?;
        assert!(theirs.starts_with('`'), "{line}");
        Some(command.split(' ').map(str::to_owned).collect())
    };
    let table = text.split("| kcctl | Rowferry |").nth(1).unwrap();
    table
        .lines()
        .skip(2)
        .map_while(|line| line.starts_with('|').then_some(line))
        .filter_map(row)
        .collect()
}

/// Runs a command with contexts of its own.
fn run(args: &[String], server: &str, contexts: &Path) -> Printed {
    let mut command = program(args);
    command.env("ROWFERRY_CONTEXTS", contexts);
    if !["config", "help"].contains(&args[0].as_str()) {
        command.args(["--server", server]);
    }
    // What a command reads from standard input is the file of the connector.
    if args.iter().any(|arg| arg == "-") {
        let input = std::fs::read_to_string(contexts.with_file_name("file.json")).unwrap();
        return printed_with(&mut command, &input);
    }
    printed(&mut command)
}

/// Runs every command of the table on this worker.
async fn play(server: &str) {
    let (rest, name) = (Rest::new(server), unique("verbs"));
    let folder = lab().scratch().path().join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    let path = |end: &str| folder.join(end).display().to_string();
    std::fs::write(path("lines"), "a\nb\n").unwrap();
    let (topic, other) = (unique("lines"), format!("{name}-other"));
    let config = json!({"connector.class": CLASS, "file": path("lines"), "topic": topic});
    let sink = json!({"connector.class": SINK, "file": path("copy"), "topics": topic});
    std::fs::write(
        path("other.json"),
        json!({"name": other, "config": sink}).to_string(),
    )
    .unwrap();
    std::fs::write(
        path("file.json"),
        json!({"name": name, "config": config}).to_string(),
    )
    .unwrap();
    std::fs::write(path("bare.json"), config.to_string()).unwrap();
    let fill = |word: &String| match word.as_str() {
        "NAME" => name.clone(),
        "NAME/0" => format!("{name}/0"),
        "PATTERN" => format!("{}.*", &name[..name.len() - 1]),
        "FILE" => path("file.json"),
        "BARE" => path("bare.json"),
        "OTHER" => other.clone(),
        "OTHER_FILE" => path("other.json"),
        "TOPIC" => topic.clone(),
        "PLUGIN" => CLASS.to_owned(),
        "PARTITION" => json!({"filename": path("lines")}).to_string(),
        "OFFSET" => json!({"position": 0}).to_string(),
        "URL" => server.to_owned(),
        other => other.to_owned(),
    };
    let commands: Vec<Vec<String>> = documented();
    assert!(commands.len() > 55, "{commands:?}");
    rest.create(&name, &config).await;
    rest.create(&other, &sink).await;
    rest.wait_state(&name, "RUNNING", SOON).await;
    testkit::for_condition("an offset", SOON, async || {
        let offsets = rest.get(&format!("/connectors/{name}/offsets")).await.body;
        offsets["offsets"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    })
    .await;
    for command in commands {
        let args: Vec<String> = command.iter().map(fill).collect();
        // A worker that changes something refuses the next change for a moment, and tasks that have
        // just been stopped are members of Kafka's transactions for a moment.
        let mut last = run(&args, server, &folder.join("contexts.json"));
        testkit::for_condition(&format!("{command:?}: {last:?}"), SOON, async || {
            let is_done = last.2 == Some(0);
            if !is_done {
                last = run(&args, server, &folder.join("contexts.json"));
            }
            is_done || last.2 == Some(0)
        })
        .await;
        let is_told = !last.0.trim().is_empty();
        assert!(is_told, "{command:?} prints nothing: {}", last.1);
        let is_to_run = ["restart", "resume", "patch"].contains(&command[0].as_str());
        if is_to_run && command[1] != "offsets" {
            rest.wait_state(&name, "RUNNING", SOON).await;
        }
    }
}

#[tokio::test]
async fn every_row_of_the_table_works() {
    play(lab().worker().rest().base()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts Apache Kafka Connect, which takes a minute; run it with the conformance tests"]
async fn every_row_of_the_table_works_on_apache_kafka_connect() {
    let connect = KafkaConnect::start(lab().scratch(), &lab().kafka().brokers(), None);
    play(connect.base()).await;
}
