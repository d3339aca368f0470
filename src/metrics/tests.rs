//! Tests of the figures as a whole: from what tasks publish to the text.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::model::RunState;
use family::{Families, Family, Kind};

fn task_facts(task: u32) -> TaskFacts {
    TaskFacts {
        task,
        state: RunState::Running,
        tables: vec![TableFacts {
            table: "t".into(),
            read: 5,
            estimated: Some(9),
            left: Some(4),
            behind: Some(1.5),
            gaps: Some(1),
        }],
    }
}

fn connector(name: &str, direction: &'static str, tasks: u32) -> ConnectorFacts {
    ConnectorFacts {
        name: name.into(),
        direction,
        class: "C".into(),
        version: "1".into(),
        database: (direction == "source").then(|| ("mysql", "shop".into())),
        state: RunState::Running,
        tasks: (0..tasks).map(task_facts).collect(),
    }
}

fn amounts(topic: &str, records: usize) -> TopicAmounts {
    let mut amounts = TopicAmounts::default();
    let topic = Arc::from(topic);
    (0..records).for_each(|_| amounts.count(&topic, 10));
    amounts
}

/// A worker with a source and a sink of that many tasks each, of which every figure is known.
fn everything(tasks: u32) -> Snapshot {
    let worker = WorkerMetrics::new(200);
    for (name, task) in ["in", "out"]
        .iter()
        .flat_map(|n| (0..tasks).map(move |t| (*n, t)))
    {
        let metrics = worker.of_task(&Arc::from(name), task);
        metrics.read(&amounts("t", 3));
        metrics.written(&amounts("t", 3), 3);
        metrics.update(|figures, now| {
            let took = Duration::from_millis(3);
            figures.batch(now, 3, took);
            figures.kafka_commits.note(now, took, true);
            figures.database_commits.note(now, took, true);
            figures.transaction_records.add(now, 3.0);
            figures.enter(Activity::Running, now);
            if name == "out" {
                let at = connector_api::TopicPartition {
                    topic: "t".into(),
                    partition: 0,
                };
                figures.lag.assign([(at.clone(), 3)]);
                let report = PartitionReport {
                    end: 5,
                    fetched: 3,
                    waiting: 0,
                };
                figures.lag.report(now, &[(at, report)]);
            }
        });
        for purpose in [
            ClientPurpose::Producer,
            ClientPurpose::Consumer,
            ClientPurpose::DeadLetters,
        ] {
            OpenClient::new(metrics.client(purpose)).report(ClientReport::default());
        }
    }
    worker.group(|group| {
        group.load = 0.5;
        group.moves.insert("work", 1);
    });
    worker.snapshot(vec![
        connector("in", "source", tasks),
        connector("out", "sink", tasks),
    ])
}

fn text(snapshot: &Snapshot) -> String {
    snapshot.write(&Spelling::ALL, Format::Prometheus)
}

#[test]
fn counters_continue_when_a_task_starts_again_and_end_with_their_connector() {
    let worker = WorkerMetrics::new(200);
    let facts = || vec![connector("c", "source", 0)];
    let name = Arc::from("c");
    worker.of_task(&name, 0).read(&amounts("t", 2));
    worker.of_task(&name, 0).read(&amounts("t", 3));
    let sample = |n| {
        format!(
            "rowferry_records_total{{connector=\"c\",task=\"0\",topic=\"t\",direction=\"read\"}} {n}\n"
        )
    };
    assert!(text(&worker.snapshot(facts())).contains(&sample(5)));
    worker.forget("c");
    assert!(!text(&worker.snapshot(facts())).contains("task=\"0\""));
    worker.of_task(&name, 0).read(&amounts("t", 1));
    assert!(text(&worker.snapshot(facts())).contains(&sample(1)));
    assert!(!text(&worker.snapshot(Vec::new())).contains("connector=\"c\""));
}

#[test]
fn a_client_that_is_closed_has_no_connections() {
    let worker = WorkerMetrics::new(200);
    let task = worker.of_task(&Arc::from("c"), 0);
    let open = OpenClient::new(task.client(ClientPurpose::Consumer));
    open.report(ClientReport {
        connections: 3,
        ..ClientReport::default()
    });
    let text = || text(&worker.snapshot(vec![connector("c", "sink", 1)]));
    let sample = "rowferry_kafka_connections{connector=\"c\",task=\"0\",client=\"consumer\"}";
    assert!(text().contains(&format!("{sample} 3\n")));
    assert!(!text().contains("client=\"producer\""));
    drop(open);
    assert!(text().contains(&format!("{sample} 0\n")));
}

#[test]
fn only_the_chosen_names_are_shown() {
    let snapshot = everything(1);
    let names = |spellings: &[Spelling]| {
        let text = snapshot.write(spellings, Format::Prometheus);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        lines.map(name).collect::<std::collections::BTreeSet<_>>()
    };
    let own = names(&[Spelling::Rowferry]);
    assert!(
        own.iter()
            .all(|n| n.starts_with("rowferry_") || n.starts_with("process_"))
    );
    let (confluent, strimzi) = (names(&[Spelling::Confluent]), names(&[Spelling::Strimzi]));
    assert!(confluent.contains("kafka_connect_connector_metrics"));
    assert!(!confluent.contains("kafka_connect_connector_status"));
    assert!(strimzi.contains("kafka_connect_connector_status"));
    assert!(!strimzi.contains("kafka_connect_connector_metrics"));
    assert!(names(&[]).iter().all(|name| name.starts_with("process_")));
}

#[test]
fn dashboards_of_debezium_find_what_has_a_meaning_for_a_source_that_polls() {
    let text = text(&everything(1));
    for sample in [
        "Connected{plugin=\"mysql\",name=\"shop\",context=\"streaming\"} 1",
        "TotalNumberOfEventsSeen{plugin=\"mysql\",name=\"shop\",context=\"streaming\"} 3",
        "SnapshotRunning{plugin=\"mysql\",name=\"shop\",context=\"snapshot\"} 1",
        "SnapshotCompleted{plugin=\"mysql\",name=\"shop\",context=\"snapshot\"} 0",
        "RemainingTableCount{plugin=\"mysql\",name=\"shop\",context=\"snapshot\"} 1",
        "RowsScanned{plugin=\"mysql\",name=\"shop\",context=\"snapshot\",table=\"t\"} 5",
    ] {
        assert!(
            text.contains(&format!("debezium_metrics_{sample}\n")),
            "{sample}"
        );
    }
    let known = text
        .matches("debezium_metrics_MilliSecondsSinceLastEvent{")
        .count();
    assert_eq!(known, 1);
}

#[test]
fn no_series_is_written_twice() {
    let text = text(&everything(2));
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series), "{series}");
    }
}

/// Compares the best times of both, and measures in turn until they agree or many rounds have passed:
/// on a busy machine a single round may be interrupted at any point.
#[test]
fn the_time_of_a_scrape_grows_with_the_number_of_tasks_and_not_faster() {
    let best_of = |tasks| {
        let snapshot = everything(tasks);
        let mut best = Duration::MAX;
        move || {
            let began = Instant::now();
            let text = text(&snapshot);
            assert!(!text.is_empty());
            best = best.min(began.elapsed());
            best
        }
    };
    let (mut few, mut many) = (best_of(10), best_of(100));
    let mut best = (few(), many());
    for _ in 0..200 {
        if best.1 < best.0 * 30 {
            return;
        }
        best = (few(), many());
    }
    panic!("{:?} for 20 tasks, {:?} for 200", best.0, best.1);
}

#[test]
#[ignore = "an absolute time, for an idle machine"]
fn a_scrape_of_a_hundred_tasks_takes_less_than_50_ms() {
    let snapshot = everything(50);
    let began = Instant::now();
    let text = text(&snapshot);
    let took = began.elapsed();
    println!("{took:?} for {} bytes", text.len());
    assert!(took < Duration::from_millis(50), "{took:?}");
}

/// Returns our own families and those of the process, with every label.
fn own_families() -> Vec<Family> {
    let (snapshot, mut families) = (everything(1), Families::default());
    own::add(&snapshot, &mut families);
    own::add_process(&snapshot, &mut families);
    families.into_list()
}

/// The list of our own metrics in docs/metrics.md.
fn reference() -> String {
    let mut out = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in own_families() {
        let (suffix, kind) = match family.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
        };
        let mut labels: Vec<String> = Vec::new();
        for (name, _) in family.samples.iter().flat_map(|(labels, _)| labels) {
            let name = format!("`{name}`");
            if !labels.contains(&name) {
                labels.push(name);
            }
        }
        let _ = writeln!(
            out,
            "| `{}{suffix}` | {kind} | {} | {} |",
            family.name,
            labels.join(", "),
            family.help
        );
    }
    out
}

#[test]
fn the_list_of_metrics_in_docs_is_what_is_written() {
    const MARKS: [&str; 2] = ["<!-- metrics: generated -->\n", "<!-- end -->\n"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let kept = std::fs::read_to_string(path).unwrap();
    let (before, rest) = kept.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let now = format!("{before}{}{}{}{after}", MARKS[0], reference(), MARKS[1]);
    if std::env::var_os("ROWFERRY_WRITE_DOCS").is_some() {
        std::fs::write(path, &now).unwrap();
    } else {
        assert!(
            kept == now,
            "docs/metrics.md is out of date: run ROWFERRY_WRITE_DOCS=1 cargo test"
        );
    }
}
