//! FileStreamSource and FileStreamSink: a file into a topic and into another file, whatever dies in between.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Rowferry, Settings, for_condition, unique};

use crate::crash::{LONG, quick_rejoin};
use crate::{SOON, lab};

const TEXT: &str = "org.apache.kafka.connect.storage.StringConverter";

/// A folder of one test.
fn folder(name: &str) -> PathBuf {
    let folder = lab().scratch().path().join(unique(name));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn append(path: &Path, text: &str) {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

fn source(file: &Path, topic: &str) -> Value {
    json!({"connector.class": "FileStreamSource", "file": file, "topic": topic, "value.converter": TEXT,
        "batch.size": "500"})
}

fn sink(file: &Path, topic: &str) -> Value {
    json!({"connector.class": "FileStreamSink", "file": file, "topics": topic, "value.converter": TEXT,
        "consumer.override.max.poll.records": "500"})
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len())
}

#[tokio::test]
async fn killed_workers_lose_and_double_no_line() {
    const LINES: usize = 20_000;
    let (name, folder) = (unique("files"), folder("killed-files"));
    let (from, to) = (folder.join("from.txt"), folder.join("to.txt"));
    lab().kafka().topics().create(&name, 1).await;
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&name, lab().kafka().brokers()),
    );
    // the file is not there yet
    worker.rest().create("from", &source(&from, &name)).await;
    worker.rest().create("to", &sink(&to, &name)).await;
    let mut lines = 0;
    for fail_point in [
        "",
        "",
        "file-sink.before-append",
        "file-sink.before-commit",
        "",
        "file-sink.before-commit",
    ] {
        let before = length(&to);
        if !fail_point.is_empty() {
            worker.fail_at(fail_point, "return(abort)");
        }
        let text: String = (lines..lines + LINES)
            .map(|line| format!("line {line} of some length: äöü\n"))
            .collect();
        lines += LINES;
        append(&from, &text);
        if fail_point.is_empty() {
            for_condition("lines on their way", LONG, async || length(&to) > before).await;
            worker.kill();
        } else {
            for_condition("the end of the worker", LONG, async || !worker.is_running()).await;
            worker.go_on_at(fail_point);
        }
        worker.restart();
    }
    for_condition("every line", LONG, async || length(&to) >= length(&from)).await;
    let (read, written) = (
        fs::read_to_string(&from).unwrap(),
        fs::read_to_string(&to).unwrap(),
    );
    assert_eq!(written.lines().count(), lines);
    assert!(read == written, "the files differ");
    for connector in ["from", "to"] {
        worker.rest().remove(connector).await;
    }
}

/// Texts as Kafka Connect's own file connectors have them.
#[tokio::test]
async fn bad_configs_are_refused_with_kafkas_texts() {
    let rest = lab().worker().rest();
    let folder = folder("bad-files");
    let good = source(&folder.join("x"), "t");
    for (key, value, text) in [
        (
            "topic",
            json!(null),
            "Missing required configuration \"topic\" which has no default value.",
        ),
        (
            "topic",
            json!(""),
            "Invalid value  for configuration topic: String must be non-empty",
        ),
        (
            "batch.size",
            json!("many"),
            "Invalid value many for configuration batch.size: Not a number of type INT",
        ),
    ] {
        let mut config = good.clone();
        config["name"] = json!("bad");
        match value.is_null() {
            true => drop(config.as_object_mut().unwrap().remove(key)),
            false => config[key] = value,
        }
        let answer = rest
            .put(
                "/connector-plugins/FileStreamSource/config/validate",
                &config,
            )
            .await
            .expect(200)
            .body;
        let errors: Vec<_> = answer["configs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["value"]["errors"])
            .collect();
        assert!(errors.contains(&&json!([text])), "{key}: {errors:?}");
        assert_eq!(answer["error_count"], 1, "{key}");
        let made = rest
            .post("/connectors", &json!({"name": "bad", "config": config}))
            .await
            .expect(400);
        assert!(made.message().contains(text), "{}", made.text);
    }
}

#[tokio::test]
async fn the_keys_of_the_file_connectors_are_shown_as_kafkas_are() {
    let key = |name: &str,
               of_type: &str,
               required: bool,
               default: Option<&str>,
               importance: &str,
               doc: &str| {
        json!({"name": name, "type": of_type, "required": required, "default_value": default, "importance": importance,
            "documentation": doc, "group": null, "width": "NONE", "display_name": name, "dependents": [], "order": -1})
    };
    let most = "The maximum number of records the source task can read from the file each time it is polled";
    let source = [
        key(
            "file",
            "STRING",
            false,
            None,
            "HIGH",
            "Source filename. If not specified, the standard input will be used",
        ),
        key(
            "topic",
            "STRING",
            true,
            None,
            "HIGH",
            "The topic to publish data to",
        ),
        key("batch.size", "INT", false, Some("2000"), "LOW", most),
    ];
    let doc = "Destination filename. If not specified, the standard output will be used";
    let sink = [key("file", "STRING", false, None, "HIGH", doc)];
    for (class, wanted) in [
        ("FileStreamSource", &source[..]),
        ("FileStreamSinkConnector", &sink),
    ] {
        let answer = lab()
            .worker()
            .rest()
            .get(&format!("/connector-plugins/{class}/config"))
            .await
            .expect(200)
            .body;
        assert_eq!(
            answer.as_array().unwrap()[..wanted.len()],
            *wanted,
            "{class}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_not_allowed_is_refused_and_the_setting_that_helps_is_named() {
    let (root, name) = (folder("guarded-files"), unique("guarded"));
    let inside = root.join("inside");
    fs::create_dir_all(&inside).unwrap();
    let settings = Settings::dev(&name).with("file.allowed.paths", &inside.display().to_string());
    let worker = Rowferry::start(lab().scratch(), settings);
    for file in [
        root.join("outside.txt"),
        inside.join("../outside.txt"),
        "/etc/passwd".into(),
        "relative.txt".into(),
    ] {
        for (class, config) in [
            ("FileStreamSource", source(&file, "t")),
            ("FileStreamSink", sink(&file, "t")),
        ] {
            let mut named = config.clone();
            named["name"] = json!(name);
            let path = format!("/connector-plugins/{class}/config/validate");
            let checked = worker.rest().put(&path, &named).await.expect(200);
            assert!(
                checked.text.contains("file.allowed.paths"),
                "{}",
                checked.text
            );
            let made = worker
                .rest()
                .post("/connectors", &json!({"name": name, "config": config}))
                .await
                .expect(400);
            assert!(
                made.message().contains("file.allowed.paths"),
                "{}",
                made.text
            );
        }
    }
    assert!(!root.join("outside.txt").exists());
    let file = inside.join("new.txt");
    worker.rest().create(&name, &sink(&file, "t")).await;
    for_condition("the sink's file", SOON, async || file.exists()).await;
}

#[tokio::test]
async fn offsets_of_the_file_connectors_are_shown_checked_and_set_as_kafkas_are() {
    let (name, folder) = (unique("offsets"), folder("file-offsets"));
    let (from, to) = (folder.join("from.txt"), folder.join("to.txt"));
    let rest = lab().worker().rest();
    append(&from, "one\ntwo\n");
    let (reads, writes) = (format!("{name}-from"), format!("{name}-to"));
    rest.create(&reads, &source(&from, &name)).await;
    rest.create(&writes, &sink(&to, &name)).await;
    for_condition("two lines", LONG, async || length(&to) == 8).await;
    let offsets = |position: Value| json!({"offsets": [{"partition": {"filename": from}, "offset": {"position": position}}]});
    for_condition("the stored offset", SOON, async || {
        rest.get(&format!("/connectors/{reads}/offsets"))
            .await
            .expect(200)
            .body
            == offsets(json!(8))
    })
    .await;
    for connector in [&reads, &writes] {
        rest.put_empty(&format!("/connectors/{connector}/stop"))
            .await
            .expect(204);
        for_condition("the end of the task", SOON, async || {
            let status = rest
                .get(&format!("/connectors/{connector}/status"))
                .await
                .expect(200)
                .body;
            status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([])
        })
        .await;
    }
    let set = async |connector: &str, body: Value| {
        rest.send(
            "PATCH",
            &format!("/connectors/{connector}/offsets"),
            Some(("application/json", body.to_string())),
        )
        .await
    };
    for (position, text) in [
        (
            json!(-1),
            "The value for the 'position' key in the offset should be a non-negative value",
        ),
        (
            json!("1"),
            "The value for the 'position' key in the offset is expected to be a Long value",
        ),
    ] {
        let refused = set(&reads, offsets(position)).await;
        assert!(
            refused.status >= 400 && refused.message().contains(text),
            "{}",
            refused.text
        );
    }
    let altered =
        json!({"message": "The offsets for this connector have been altered successfully"});
    assert_eq!(
        set(&reads, offsets(json!(4))).await.expect(200).body,
        altered
    );
    let first = json!({"offsets": [{"partition": {"kafka_topic": name, "kafka_partition": 0}, "offset": {"kafka_offset": 1}}]});
    assert_eq!(set(&writes, first).await.expect(200).body, altered);
    for connector in [&reads, &writes] {
        rest.put_empty(&format!("/connectors/{connector}/resume"))
            .await
            .expect(202);
    }
    for_condition("the lines behind the offsets", LONG, async || {
        length(&to) == 16
    })
    .await;
    assert_eq!(fs::read_to_string(&to).unwrap(), "one\ntwo\ntwo\ntwo\n");
    for connector in [&reads, &writes] {
        rest.remove(connector).await;
    }
}
