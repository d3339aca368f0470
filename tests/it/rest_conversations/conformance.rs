//! The recordings against Apache Kafka Connect itself (`scripts/conformance`): whether they still say what it does.

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{KafkaConnect, Random};

use super::{placeholders, play, recordings};
use crate::lab;

/// A folder with Confluent's JDBC connector and its drivers, for `plugin.path`.
const PLUGINS: &str = "ROWFERRY_PLUGIN_PATH";
/// Set: answers that differ are written into the recordings.
const RECORD: &str = "ROWFERRY_RECORD";
/// Only conversations whose name contains this.
const ONLY: &str = "ROWFERRY_ONLY";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is Kafka Connect that is tested: scripts/conformance"]
async fn apache_kafka_connect_answers_as_recorded() {
    let plugins = std::env::var_os(PLUGINS).map(PathBuf::from);
    let (renew, only) = (
        std::env::var_os(RECORD).is_some(),
        std::env::var(ONLY).unwrap_or_default(),
    );
    let connect = KafkaConnect::start(
        lab().scratch(),
        &lab().kafka().brokers(),
        plugins.as_deref(),
    );
    let (mut random, mut steps, mut differ, mut skipped) = (Random::new(), 0, 0, 0);
    // One after the other: Kafka Connect refuses what comes while it rebalances.
    for file in recordings() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        if plugins.is_none() && needs_jdbc(&file) {
            println!("{name}: skipped, it needs Confluent's JDBC connector (--plugin-path)");
            skipped += 1;
            continue;
        }
        let names = placeholders(connect.base(), &mut random);
        for ((_, step), lines) in play(connect.base(), &file, &names, renew).await {
            steps += 1;
            let same = lines.is_empty();
            differ += usize::from(!same);
            println!("{name} | {step}: {}", if same { "same" } else { "differs" });
            lines.iter().for_each(|line| println!("    {line}"));
        }
    }
    println!(
        "{steps} steps: {} same, {differ} differ; {skipped} conversations skipped",
        steps - differ
    );
    assert!(steps > 0, "nothing was played");
    assert!(renew || differ == 0, "{differ} of {steps} steps differ");
}

/// Whether a conversation is about the JDBC connector, which is not part of Kafka Connect.
fn needs_jdbc(file: &Path) -> bool {
    let recording: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let named = |value: &Value| value.to_string().to_lowercase().contains("jdbc");
    let steps = recording["steps"].as_array().unwrap().iter();
    let mut parts = steps.flat_map(|step| {
        [
            &step["request"]["json"],
            &step["request"]["body"],
            &step["expect"]["body"],
        ]
    });
    parts.any(named)
}
