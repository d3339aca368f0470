//! `examples/cluster`: workers with the settings of its files work together, and each setting exists.

use serde_json::json;
use testkit::{MariaDb, Rowferry, Settings, for_condition, project_folder, unique};

use crate::examples::example;
use crate::{SOON, lab};

/// The settings in the text: lines `CONNECT_NAME: value`.
fn compose_settings(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(": "));
    pairs
        .filter(|(name, _)| name.starts_with("CONNECT_"))
        .map(|(name, value)| (key(name), value.trim_matches('"').to_owned()))
        .collect()
}

/// The worker's key that a variable sets.
fn key(variable: &str) -> String {
    let name = variable.trim_start_matches("CONNECT_");
    name.to_lowercase().replace('_', ".")
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_with_the_settings_of_the_compose_file_share_a_store() {
    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let name = unique("compose");
    let server = lab().mariadb();
    drop(server.create_database(&name).await);
    let (user, password, port) = (MariaDb::USER, MariaDb::PASSWORD, server.port());
    let mut settings = compose_settings(&example("cluster/compose.yaml"));
    assert!(settings.len() >= 6, "{settings:?}");
    for (key, value) in &mut settings {
        match key.as_str() {
            "bootstrap.servers" => *value = lab().kafka().brokers(),
            "group.id" => value.clone_from(&name),
            "rowferry.store.url" => {
                *value = format!("mysql://{user}:{password}@127.0.0.1:{port}/{name}");
            }
            "rowferry.secrets.key" => KEY.clone_into(value),
            _ => {}
        }
    }
    let worker = |number: u8| {
        let started = Settings::serve(&format!("{name}_{number}"), lab().kafka().brokers());
        let started = settings
            .iter()
            .filter(|(key, _)| key != "listeners")
            .fold(started, |all, (key, value)| all.with(key, value));
        let started = started.with("offset.storage.topic", &format!("{name}-offsets"));
        Rowferry::start(lab().scratch(), started)
    };
    let workers = [worker(1), worker(2)];
    let config = json!({"connector.class": "FileStreamSink", "topics": "compose", "tasks.max": "1",
        "file": lab().scratch().path().join(&name)});
    workers[0].rest().create("shared", &config).await;
    let answer = workers[1].rest().get("/connectors/shared").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for_condition("the task runs", SOON, async || {
        let status = workers[1].rest().get("/connectors/shared/status").await;
        status.body["tasks"][0]["state"] == "RUNNING"
    })
    .await;
    workers[1].rest().remove("shared").await;
}

#[test]
fn each_setting_in_the_files_of_the_cluster_example_exists() {
    let known = std::fs::read_to_string(project_folder().join("docs/worker-keys.md")).unwrap();
    for file in [
        "compose.yaml",
        "kubernetes/deployment.yaml",
        "kubernetes/statefulset.yaml",
    ] {
        let text = example(&format!("cluster/{file}"));
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let keys: Vec<String> = words
            .filter(|word| word.starts_with("CONNECT_"))
            .map(key)
            .collect();
        assert!(keys.len() >= 6, "{file}: {keys:?}");
        for key in keys {
            assert!(known.contains(&format!("`{key}`")), "{file}: {key}");
        }
    }
}
