//! `/metrics` of a real worker: the names that ready dashboards read, counters across restarts, what labels contain,
//! who may read it, and its formats.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rest, Rowferry, Settings, for_condition, free_port, project_folder, unique};

use crate::command_line::local;
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// One sample of the text format.
#[derive(Clone, Debug)]
pub struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads Prometheus's text format; panics where it is not that.
fn parse(text: &str) -> Vec<Sample> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => value.push(other),
                }
            };
            labels.insert(label.trim_start_matches(',').to_owned(), value);
            rest = &after[end + 1..];
        }
        rest = &rest[1..];
    }
    Sample {
        name: name.to_owned(),
        labels,
        value: rest.trim().parse().unwrap_or_else(|_| panic!("{line}")),
    }
}

pub async fn scrape(rest: &Rest) -> Vec<Sample> {
    parse(&rest.get("/metrics").await.expect(200).text)
}

/// The sum of the samples with that name and these labels; `None` if there is none.
pub fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let matches = |sample: &&Sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
    };
    samples
        .iter()
        .filter(matches)
        .map(|s| s.value)
        .reduce(|a, b| a + b)
}

/// A pipeline of three rows that have arrived.
pub async fn three_rows(worker: &Rowferry, name: &str) -> (Pipeline, sqlx::MySqlConnection) {
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, name, "goods").await;
    run(
        &mut connection,
        "CREATE TABLE goods (id INT PRIMARY KEY, name VARCHAR(40))",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO goods VALUES (1, 'CANARY-ROW'), (2, 'b'), (3, 'c')",
    )
    .await;
    let more = json!({"errors.tolerance": "all", "errors.deadletterqueue.topic.name": unique("dead"),
        "errors.deadletterqueue.topic.replication.factor": "1"});
    pipeline
        .create(worker.rest(), server, json!({}), more)
        .await;
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    (pipeline, connection)
}

/// What the boards and alerts of Confluent's JMX exporter configuration read: names after a prefix, with labels.
const CONFLUENT: &[(&str, &str, &[&str])] = &[
    (
        "kafka_connect_connect_worker_metrics_",
        "connector_count task_count connector_startup_success_total connector_startup_failure_total \
         connector_startup_attempts_total connector_startup_success_percentage task_startup_success_total \
         task_startup_failure_total task_startup_attempts_total task_startup_success_percentage",
        &["connector=aggregate"],
    ),
    (
        "kafka_connect_connect_worker_metrics_connector_",
        "total_task_count running_task_count paused_task_count failed_task_count unassigned_task_count \
         destroyed_task_count restarting_task_count",
        &["connector"],
    ),
    (
        "kafka_connect_connector_",
        "metrics",
        &["connector", "status=running"],
    ),
    (
        "kafka_connect_connector_",
        "metrics",
        &["connector", "connector_class"],
    ),
    (
        "kafka_connect_connector_",
        "metrics",
        &["connector", "connector_type=sink"],
    ),
    (
        "kafka_connect_connector_",
        "metrics",
        &["connector", "connector_version"],
    ),
    (
        "kafka_connect_connector_task_metrics_",
        TASK,
        &["connector", "task=0"],
    ),
    (
        "kafka_connect_source_task_metrics_",
        SOURCE,
        &["connector", "task=0"],
    ),
    (
        "kafka_connect_sink_task_metrics_",
        SINK,
        &["connector", "task=0"],
    ),
    (
        "kafka_connect_task_error_metrics_",
        ERRORS,
        &["connector", "task=0"],
    ),
    (
        "kafka_connect_connect_worker_rebalance_metrics_",
        "completed_rebalances_total completed_rebalances rebalance_avg_time_ms rebalance_max_time_ms rebalancing \
         time_since_last_rebalance_ms epoch",
        &[],
    ),
    (
        "kafka_connect_connect_coordinator_metrics_",
        "assigned_connectors assigned_tasks",
        &[],
    ),
    (
        "kafka_connect_connect_metrics_",
        "connection_count incoming_byte_rate outgoing_byte_rate request_rate response_rate network_io_rate io_ratio \
         failed_authentication failed_authentication_total successful_authentication_rate",
        &["client_id"],
    ),
    ("kafka_connect_", "app app_info", &["client_id", "version"]),
    (
        "kafka_connect_",
        "app app_info",
        &["client_id", "start_time_ms"],
    ),
    ("process_", "cpu_seconds_total", &[]),
];

const TASK: &str = "batch_size_avg batch_size_max offset_commit_avg_time_ms offset_commit_max_time_ms \
    offset_commit_success_percentage offset_commit_failure_percentage pause_ratio running_ratio";
const SOURCE: &str = "poll_batch_avg_time_ms poll_batch_max_time_ms source_record_active_count \
    source_record_active_count_avg source_record_active_count_max source_record_poll_rate source_record_poll_total \
    source_record_write_rate source_record_write_total transaction_size_min transaction_size_max transaction_size_avg";
const SINK: &str = "put_batch_avg_time_ms put_batch_max_time_ms sink_record_read_rate sink_record_read_total \
    sink_record_send_rate sink_record_send_total sink_record_active_count sink_record_active_count_avg \
    sink_record_active_count_max partition_count offset_commit_completion_rate offset_commit_completion_total \
    offset_commit_skip_rate offset_commit_skip_total offset_commit_seq_no sink_record_lag_max";
const ERRORS: &str = "total_record_errors total_record_failures total_records_skipped total_retries total_errors_logged \
    deadletterqueue_produce_requests deadletterqueue_produce_failures last_error_timestamp";

/// What the boards and alerts of Strimzi read: of the JMX exporter first, then of its metrics reporter.
const STRIMZI: &[(&str, &str, &[&str])] = &[
    (
        "kafka_connect_worker_",
        "connector_count task_count connector_startup_success_total connector_startup_failure_total \
         task_startup_success_total task_startup_failure_total",
        &[],
    ),
    (
        "kafka_connect_worker_connector_",
        "total_task_count running_task_count paused_task_count failed_task_count unassigned_task_count \
         destroyed_task_count restarting_task_count",
        &["connector"],
    ),
    (
        "kafka_connect_connector_",
        "status",
        &["connector", "status=running"],
    ),
    (
        "kafka_connect_connector_",
        "connector_class",
        &["connector", "connector_class"],
    ),
    (
        "kafka_connect_connector_",
        "connector_type",
        &["connector", "connector_type=source"],
    ),
    (
        "kafka_connect_connector_",
        "connector_version",
        &["connector", "connector_version"],
    ),
    (
        "kafka_connect_connector_task_",
        "status",
        &["connector", "task=0", "status=running"],
    ),
    (
        "kafka_connect_connector_task_",
        TASK,
        &["connector", "task=0"],
    ),
    (
        "kafka_connect_source_task_",
        SOURCE,
        &["connector", "task=0"],
    ),
    ("kafka_connect_sink_task_", SINK, &["connector", "task=0"]),
    (
        "kafka_connect_task_error_",
        ERRORS,
        &["connector", "task=0"],
    ),
    ("kafka_connect_worker_rebalance_", "rebalancing", &[]),
    (
        "kafka_connect_coordinator_",
        "assigned_connectors assigned_tasks",
        &[],
    ),
    (
        "kafka_producer_",
        "connection_count outgoing_byte_total",
        &["clientId"],
    ),
    (
        "kafka_consumer_",
        "connection_count incoming_byte_total",
        &["clientId"],
    ),
    ("kafka_admin_client_", "connection_count", &["clientId"]),
    ("kafka_connect_", "version_info", &["version"]),
    ("kafka_connect_", "start_time_seconds", &[]),
    (
        "kafka_connect_connector_metrics_",
        "status_info",
        &["connector", "status=running"],
    ),
    (
        "kafka_connect_connector_metrics_",
        "connector_class_info",
        &["connector", "connector_class"],
    ),
    (
        "kafka_connect_connector_metrics_",
        "connector_version_info",
        &["connector", "connector_version"],
    ),
    (
        "kafka_connect_connector_task_metrics_",
        "status_info",
        &["connector", "task", "status=running"],
    ),
    (
        "kafka_producer_producer_",
        "metrics_connection_count metrics_outgoing_byte node_metrics_incoming_byte",
        &["client_id"],
    ),
    (
        "kafka_consumer_consumer_metrics_",
        "connection_count",
        &["client_id"],
    ),
    (
        "kafka_admin_client_admin_client_metrics_",
        "connection_count",
        &["client_id"],
    ),
];

/// What Debezium's board reads and has a meaning for a source that polls.
const DEBEZIUM: &[(&str, &str, &[&str])] = &[
    (
        "debezium_metrics_",
        "Connected MilliSecondsSinceLastEvent TotalNumberOfEventsSeen NumberOfErroneousEvents NumberOfSkippedEvents",
        &["plugin=mysql", "name", "context=streaming"],
    ),
    (
        "debezium_metrics_",
        "SnapshotRunning SnapshotCompleted TotalTableCount RemainingTableCount",
        &["plugin=mysql", "name", "context=snapshot"],
    ),
    (
        "debezium_metrics_",
        "RowsScanned",
        &["plugin=mysql", "name", "context=snapshot", "table"],
    ),
];

/// Returns what of a list is not among the samples.
fn missing(samples: &[Sample], list: &[(&str, &str, &[&str])]) -> Vec<String> {
    let mut missing = Vec::new();
    for (prefix, names, labels) in list {
        for name in names.split_whitespace() {
            let name = format!("{prefix}{name}");
            let has = |sample: &Sample, label: &str| match label.split_once('=') {
                Some((label, value)) => sample.labels.get(label).is_some_and(|v| v == value),
                None => sample.labels.contains_key(label),
            };
            let found = samples
                .iter()
                .any(|s| s.name == name && labels.iter().all(|label| has(s, label)));
            if !found {
                missing.push(format!("{name} {labels:?}"));
            }
        }
    }
    missing
}

#[tokio::test]
async fn ready_boards_for_kafka_connect_find_every_metric_and_figures_are_those_of_the_rows() {
    let worker = lab().worker();
    let (pipeline, _connection) = three_rows(worker, "boards").await;
    let (source, sink) = (pipeline.source_name(), pipeline.sink_name());
    let mut samples = Vec::new();
    for_condition("the counters to be published", SOON, async || {
        samples = scrape(worker.rest()).await;
        let written = |name| {
            sum(
                &samples,
                "rowferry_records_total",
                &[("connector", name), ("direction", "written")],
            )
        };
        let connected = sum(
            &samples,
            "rowferry_kafka_connections",
            &[("connector", &sink), ("client", "consumer")],
        );
        written(&source) == Some(3.0)
            && written(&sink) == Some(3.0)
            && connected > Some(0.0)
            && sum(
                &samples,
                "kafka_connect_sink_task_metrics_offset_commit_completion_total",
                &[("connector", &sink)],
            ) > Some(0.0)
    })
    .await;
    let absent = [CONFLUENT, STRIMZI, DEBEZIUM].map(|list| missing(&samples, list));
    let absent = absent.concat();
    assert!(absent.is_empty(), "{absent:#?}");
    let of =
        |name: &str, connector: &str| sum(&samples, name, &[("connector", connector)]).unwrap();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    close(
        of(
            "kafka_connect_source_task_metrics_source_record_poll_total",
            &source,
        ),
        3.0,
    );
    close(
        of(
            "kafka_connect_source_task_metrics_source_record_write_total",
            &source,
        ),
        3.0,
    );
    close(
        of(
            "kafka_connect_sink_task_metrics_sink_record_read_total",
            &sink,
        ),
        3.0,
    );
    close(
        of(
            "kafka_connect_sink_task_metrics_sink_record_send_total",
            &sink,
        ),
        3.0,
    );
    close(
        of("kafka_connect_sink_task_metrics_partition_count", &sink),
        1.0,
    );
    close(of("rowferry_records_active", &source), 0.0);
    close(of("rowferry_records_active", &sink), 0.0);
    assert!(of("rowferry_batch_seconds_count", &source) >= 1.0);
    assert!(of("rowferry_batch_seconds_sum", &sink) > 0.0);
    let commits = |connector: &str, side| {
        let labels = [("connector", connector), ("side", side)];
        sum(&samples, "rowferry_commit_seconds_count", &labels).unwrap()
    };
    assert!(commits(&source, "kafka") >= 1.0 && commits(&sink, "database") >= 1.0);
    let bytes = |connector: &str, direction| {
        let labels = [("connector", connector), ("direction", direction)];
        sum(&samples, "rowferry_bytes_total", &labels)
    };
    assert!(
        bytes(&source, "written") > Some(100.0)
            && bytes(&sink, "read") >= bytes(&source, "written")
    );
    let running = [("connector", sink.as_str()), ("state", "running")];
    assert_eq!(sum(&samples, "rowferry_task_state", &running), Some(1.0));
    assert_eq!(
        sum(&samples, "rowferry_task_state", &[("connector", &sink)]),
        Some(1.0)
    );
    let text = worker.rest().get("/metrics").await.expect(200).text;
    assert!(
        !text.contains("CANARY-ROW") && !text.contains(testkit::MariaDb::PASSWORD),
        "{text}"
    );
    every_name_is_documented(&samples);
    worker.rest().remove(&source).await;
    worker.rest().remove(&sink).await;
    let left = scrape(worker.rest()).await;
    let of_deleted = |s: &&Sample| s.labels.values().any(|v| v.contains(&pipeline.name));
    let left: Vec<_> = left.iter().filter(of_deleted).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Each of our own names in the output is in docs/metrics.md.
fn every_name_is_documented(samples: &[Sample]) {
    let document = std::fs::read_to_string(project_folder().join("docs/metrics.md")).unwrap();
    let names: BTreeSet<_> = samples.iter().map(|s| s.name.as_str()).collect();
    for name in names
        .iter()
        .filter(|n| n.starts_with("rowferry_") || n.starts_with("process_"))
    {
        let parts = ["_bucket", "_sum", "_count"];
        let family = parts
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
        let listed = |name: &str| document.contains(&format!("`{name}`"));
        assert!(listed(name) || listed(family), "{name}");
    }
}

#[tokio::test]
async fn ids_that_an_open_transaction_may_have_taken_are_gaps() {
    let settings = Settings::serve(&unique("metrics"), lab().kafka().brokers());
    let worker = Rowferry::start(lab().scratch(), settings);
    let server = lab().mariadb();
    let (pipeline, mut sql) = Pipeline::new(server, "metrics", "t").await;
    let table = "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT)";
    run(&mut sql, table).await;
    let mut open = server.connect(&pipeline.name).await;
    run(&mut open, "BEGIN; INSERT INTO t (n) VALUES (1)").await;
    run(&mut sql, "INSERT INTO t (n) VALUES (2)").await;
    let name = pipeline.source_name();
    let keys = json!({"poll.interval.ms": "50"});
    worker
        .rest()
        .create(&name, &pipeline.source(server, keys))
        .await;
    let gaps = async |wanted: fn(f64) -> bool| {
        let samples = scrape(worker.rest()).await;
        sum(&samples, "rowferry_gaps", &[("connector", &name)]).is_some_and(wanted)
    };
    for_condition("a gap", SOON, async || gaps(|n| n >= 1.0).await).await;
    run(&mut open, "COMMIT").await;
    for_condition("no gap", SOON, async || gaps(|n| n == 0.0).await).await;
    let queued = async || {
        let samples = scrape(worker.rest()).await;
        let labels = [("connector", name.as_str()), ("client", "producer")];
        sum(&samples, "rowferry_queue_bytes", &labels) == Some(0.0)
            && sum(&samples, "rowferry_slots", &[]) == Some(0.0)
    };
    for_condition("nothing waits to be sent", SOON, queued).await;
    worker.rest().remove(&name).await;
}

#[tokio::test]
async fn counters_never_fall_when_tasks_are_restarted_stopped_and_fail() {
    let worker = lab().worker();
    let rest = worker.rest();
    let (pipeline, mut connection) = three_rows(worker, "counters").await;
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    let mut compare = async || {
        let samples = scrape(rest).await;
        let counters = samples.iter().filter(|s| {
            let is_own = s
                .labels
                .get("connector")
                .is_some_and(|c| c.starts_with(&pipeline.name));
            let is_counter = s.name.ends_with("_total")
                || s.name.ends_with("_count") && s.name.ends_with("seconds_count");
            is_own && is_counter
        });
        for sample in counters {
            let series = format!("{} {:?}", sample.name, sample.labels);
            let earlier = before.insert(series.clone(), sample.value).unwrap_or(0.0);
            assert!(
                sample.value >= earlier,
                "{series}: {} after {earlier}",
                sample.value
            );
        }
        samples
    };
    compare().await;
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        let path = format!("/connectors/{name}/restart?includeTasks=true");
        rest.post(&path, &json!(null)).await;
        rest.wait_state(&name, "RUNNING", SOON).await;
        compare().await;
        rest.put_empty(&format!("/connectors/{name}/stop"))
            .await
            .expect(204);
        for_condition("the connector to be stopped", SOON, async || {
            let status = rest.get(&format!("/connectors/{name}/status")).await;
            status.body["connector"]["state"] == "STOPPED"
        })
        .await;
        compare().await;
        rest.put_empty(&format!("/connectors/{name}/resume"))
            .await
            .expect(202);
        rest.wait_state(&name, "RUNNING", SOON).await;
    }
    run(&mut connection, "INSERT INTO goods VALUES (4, 'd')").await;
    pipeline.wait_arrived(&mut connection, 4, SOON).await;
    let written = [
        ("connector", pipeline.sink_name()),
        ("direction", "written".to_owned()),
    ];
    let written = written
        .each_ref()
        .map(|(label, value)| (*label, value.as_str()));
    for_condition("the fourth row to be counted", SOON, async || {
        let samples = compare().await;
        sum(&samples, "rowferry_records_total", &written) == Some(4.0)
            && sum(
                &samples,
                "rowferry_restarts_total",
                &[("connector", &pipeline.sink_name())],
            ) >= Some(2.0)
    })
    .await;
    // A failed task keeps its series, and says why by kind.
    run(&mut connection, "DROP TABLE goods").await;
    run(
        &mut connection,
        "CREATE TABLE goods (id VARCHAR(9) PRIMARY KEY)",
    )
    .await;
    let source = pipeline.source_name();
    rest.post(
        &format!("/connectors/{source}/restart?includeTasks=true"),
        &json!(null),
    )
    .await;
    for_condition("the source to fail or to be retried", SOON, async || {
        let samples = compare().await;
        sum(&samples, "rowferry_errors_total", &[("connector", &source)]) > Some(0.0)
    })
    .await;
    let samples = compare().await;
    let of_source = [("connector", source.as_str()), ("direction", "written")];
    assert_eq!(
        sum(&samples, "rowferry_records_total", &of_source),
        Some(4.0)
    );
}

#[test]
fn the_dashboard_and_the_alerts_read_metrics_that_exist() {
    let read = |path: &str| std::fs::read_to_string(project_folder().join(path)).unwrap();
    let documented = read("docs/metrics.md");
    let board: serde_json::Value =
        serde_json::from_str(&read("dist/grafana/rowferry.json")).unwrap();
    let targets = board["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut expressions: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    let alerts = read("dist/prometheus/alerts.yml");
    let of_alerts = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    expressions.extend(of_alerts.map(str::to_owned));
    assert!(expressions.len() > 20, "{expressions:?}");
    let name = regex::Regex::new(r"\b(?:rowferry|process)_\w+").unwrap();
    for expression in &expressions {
        assert!(name.is_match(expression), "{expression}");
        for found in name.find_iter(expression) {
            let found = found.as_str().trim_end_matches("_bucket");
            assert!(
                documented.contains(&format!("| `{found}` |")),
                "{found} in {expression}"
            );
        }
    }
}

#[tokio::test]
async fn a_rejected_record_counts_as_an_error_a_skipped_record_and_a_dead_letter() {
    let worker = lab().worker();
    let (pipeline, mut connection) = three_rows(worker, "rejected").await;
    let narrow = format!(
        "ALTER TABLE `{}`.`{}` MODIFY name VARCHAR(10)",
        pipeline.copy,
        pipeline.topic()
    );
    run(&mut connection, &narrow).await;
    run(
        &mut connection,
        "INSERT INTO goods VALUES (4, 'longer than ten characters'), (5, 'e')",
    )
    .await;
    pipeline.wait_arrived(&mut connection, 4, SOON).await;
    let sink = pipeline.sink_name();
    let mut samples = Vec::new();
    let of = |samples: &[Sample], name: &str| sum(samples, name, &[("connector", &sink)]);
    for_condition("the dead letter to be counted", SOON, async || {
        samples = scrape(worker.rest()).await;
        of(&samples, "rowferry_dead_letters_total") == Some(1.0)
            && of(&samples, "rowferry_records_active") == Some(0.0)
    })
    .await;
    for (name, value) in [
        ("rowferry_records_skipped_total", 1.0),
        ("rowferry_dead_letter_failures_total", 0.0),
        (
            "kafka_connect_task_error_metrics_total_record_failures",
            1.0,
        ),
        (
            "kafka_connect_task_error_metrics_total_records_skipped",
            1.0,
        ),
        ("kafka_connect_task_error_metrics_total_record_errors", 0.0),
        (
            "kafka_connect_task_error_deadletterqueue_produce_requests",
            1.0,
        ),
    ] {
        assert_eq!(of(&samples, name), Some(value), "{name}");
    }
    let by_kind = [("connector", sink.as_str()), ("kind", "record")];
    assert_eq!(sum(&samples, "rowferry_errors_total", &by_kind), Some(1.0));
    let last = "kafka_connect_task_error_metrics_last_error_timestamp";
    assert!(of(&samples, last) > Some(1.6e12), "milliseconds since 1970");
}

/// curl's answer with headers.
fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sSi", "--max-time", "30"])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_role_viewer_is_needed_except_on_the_listener_of_metrics() {
    let name = unique("metrics-roles");
    let path = lab().scratch().path().join(format!("{name}-users"));
    let (made, shown, _) = local(&["token", "scraper", "--role", "viewer"]);
    std::fs::write(&path, &made).unwrap();
    let token = shown.trim().rsplit(' ').next().unwrap();
    let port = free_port().to_string();
    let settings = Settings::serve(&name, lab().kafka().brokers())
        .with("rowferry.auth.file", path.to_str().unwrap())
        .with("metrics.listener", &port)
        .with("metrics.spellings", "rowferry");
    let worker = Rowferry::start(lab().scratch(), settings);
    let rest = worker.rest();
    rest.get("/metrics").await.expect(401);
    let text = rest
        .with_token(token)
        .get("/metrics")
        .await
        .expect(200)
        .text;
    assert!(
        text.contains("rowferry_build_info{") && !text.contains("kafka_connect"),
        "{text}"
    );
    let alone = Rest::new(&format!("http://127.0.0.1:{port}"));
    assert!(
        alone
            .get("/metrics")
            .await
            .expect(200)
            .text
            .contains("rowferry_build_info{")
    );
    for path in ["/", "/connectors", "/health", "/openapi.json"] {
        alone.get(path).await.expect(404);
    }
    let url = format!("http://127.0.0.1:{port}/metrics");
    let foreign = curl(&["-H", "Host: attacker.example", &url]);
    assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
    // The probes need no credentials.
    for_condition("the worker to be ready", SOON, async || {
        rest.get("/readyz").await.status == 200
    })
    .await;
    assert_eq!(rest.get("/readyz").await.body, json!({"status": "ready"}));
}

#[tokio::test]
async fn the_format_and_the_compression_are_those_that_the_client_accepts() {
    let url = format!("{}/metrics", lab().worker().rest().base());
    let plain = curl(&[&url]);
    assert!(
        plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{plain}"
    );
    assert!(plain.contains("# TYPE process_cpu_seconds_total counter\n"));
    let open = curl(&[
        "-H",
        "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1",
        &url,
    ]);
    let content_type =
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(open.contains(content_type), "{open}");
    assert!(open.contains("# TYPE process_cpu_seconds counter\n") && open.ends_with("# EOF\n"));
    let zipped = curl(&["--compressed", "-H", "Accept-Encoding: gzip", &url]);
    assert!(zipped.contains("content-encoding: gzip\r\n"), "{zipped}");
    assert!(zipped.contains("# TYPE process_cpu_seconds_total counter\n"));
    let refused = curl(&["-X", "POST", &url]);
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
}

#[tokio::test]
async fn a_worker_that_has_not_reached_kafka_is_alive_and_not_ready() {
    let nowhere = format!("127.0.0.1:{}", free_port());
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique("unready"), nowhere),
    );
    worker.rest().get("/livez").await.expect(200);
    let answer = worker.rest().get("/readyz").await.expect(503);
    assert_eq!(answer.body, json!({"status": "starting"}));
    assert!(
        worker
            .rest()
            .get("/metrics")
            .await
            .expect(200)
            .text
            .contains("process_threads")
    );
}
