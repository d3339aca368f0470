//! `rowferry plan`, `apply PLAN`, `diff`, `export` and `apply --prune`.

use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, unique};

use super::{both, orders};
use crate::command_line::rowferry;
use crate::lab;
use crate::pipeline::Pipeline;

fn folder() -> PathBuf {
    let path = lab().scratch().path().join(unique("plans"));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn write(path: &std::path::Path, connectors: &Value) -> String {
    std::fs::write(path, connectors.to_string()).unwrap();
    path.display().to_string()
}

/// A sink that needs nothing but a name.
fn sink(topic: &str, more: Value) -> Value {
    let mut config = json!({"connector.class": "JdbcSink", "topics": topic, "connection.url": lab().mariadb().jdbc_url("mysql"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD});
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

/// The text with what differs from run to run replaced.
fn settled(text: &str, pipe: &Pipeline) -> String {
    let port = lab().mariadb().port().to_string();
    text.replace(&pipe.copy, "COPY")
        .replace(&pipe.name, "NAME")
        .replace(&port, "PORT")
}

#[tokio::test]
async fn a_plan_is_shown_in_lines_of_80_columns() {
    // a short name: the counter behind it may have four digits, and lines with it are not wrapped
    let (pipe, _connection) = orders("p").await;
    let masked = json!({"transforms": "mask", "transforms.mask.type": "MaskField$Value", "transforms.mask.fields": "customer"});
    let connectors = both(
        &pipe,
        lab().mariadb(),
        masked,
        json!({"pk.mode": "record_value", "pk.fields": "id"}),
    );
    let file = write(&folder().join("both.json"), &connectors);
    let (out, err, code) = rowferry(&["plan", "-f", &file]);
    assert_eq!((err.as_str(), code), ("", Some(8)));
    let is_own = |line: &&str| {
        !line
            .trim_start()
            .starts_with(['{', '`', 'S', 'C', 'P', '('])
    };
    for line in out.lines().filter(is_own) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let shown = settled(&out, &pipe);
    let expected = include_str!("plan.txt");
    if std::env::var_os("ROWFERRY_WRITE_DOCS").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/plans/plan.txt"),
            &shown,
        )
        .unwrap();
    } else {
        assert_eq!(shown, expected);
    }
    let (json, _, code) = rowferry(&["plan", "-f", &file, "-o", "json"]);
    assert_eq!(code, Some(8));
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["connectors"][0]["action"], "create");
    assert!(!json.contains(MariaDb::PASSWORD) && !out.contains(MariaDb::PASSWORD));
}

#[tokio::test]
async fn a_plan_is_applied_as_it_is_or_not_at_all() {
    let (pipe, mut connection) = orders("stale").await;
    let place = folder();
    let (file, plan) = (
        place.join("c.json"),
        place.join("plan.json").display().to_string(),
    );
    let source = |poll: &str| json!({"poll.interval.ms": poll});
    let connectors = |poll: &str| json!([{"name": pipe.source_name(), "config": pipe.source(lab().mariadb(), source(poll)), "initial_state": "STOPPED"}]);
    let make = |poll: &str| {
        let path = write(&file, &connectors(poll));
        let (out, err, code) = rowferry(&["plan", "-f", &path, "-o", &plan]);
        assert_eq!(code, Some(8), "{out}{err}");
        assert!(
            !std::fs::read_to_string(&plan)
                .unwrap()
                .contains(MariaDb::PASSWORD)
        );
    };
    let refused = |says: &str| {
        let (out, err, code) = rowferry(&["apply", &plan]);
        assert_eq!((out.as_str(), code), ("", Some(8)), "{err}");
        assert!(
            err.contains("is stale, nothing was changed") && err.contains(says),
            "{err}"
        );
    };
    make("300");
    write(&file, &connectors("301"));
    refused("its config, on the worker or in its file");
    make("300");
    run(&mut connection, "ALTER TABLE orders ADD note TEXT").await;
    refused("the tables that it reads");
    make("300");
    let (out, err, code) = rowferry(&["apply", &plan]);
    assert_eq!(
        (out, code),
        (format!("{} created\n", pipe.source_name()), Some(0)),
        "{err}"
    );
    refused("its config, on the worker or in its file");
    make("302");
    lab()
        .worker()
        .rest()
        .put(
            &format!("/connectors/{}/config", pipe.source_name()),
            &pipe.source(lab().mariadb(), source("999")),
        )
        .await
        .expect(200);
    refused("its config, on the worker or in its file");
    lab().worker().rest().remove(&pipe.source_name()).await;
}

#[tokio::test]
async fn an_exported_folder_does_not_differ_and_is_applied_without_a_change() {
    let (one, two) = (unique("exported"), unique("exported/with slash"));
    let connectors = json!([
        {"name": one, "config": sink(&unique("t"), json!({})), "initial_state": "STOPPED"},
        {"name": two, "config": sink(&unique("t"), json!({"batch.size": "7"})), "initial_state": "STOPPED"},
    ]);
    let place = folder();
    rowferry(&["create", "-f", &write(&place.join("c.json"), &connectors)]);
    for plain in [false, true] {
        let out = place
            .join(if plain { "plain" } else { "masked" })
            .display()
            .to_string();
        let mut args = vec!["export", "-d", &out, &one, &two];
        if plain {
            args.push("--with-secrets");
        }
        let (listed, err, code) = rowferry(&args);
        assert_eq!(
            (listed.lines().count(), code),
            (2, Some(0)),
            "{listed}{err}"
        );
        let path = format!("{out}/{one}.json");
        let before = std::fs::read(&path).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&before).contains(MariaDb::PASSWORD),
            plain
        );
        assert_eq!(err.contains("2 secrets are masked"), !plain, "{err}");
        assert_eq!(
            rowferry(&["diff", "-f", &out]),
            (String::new(), String::new(), Some(0))
        );
        let (applied, err, code) = rowferry(&["apply", "-f", &out]);
        assert_eq!(
            (applied.matches(" unchanged").count(), code),
            (2, Some(0)),
            "{applied}{err}"
        );
        rowferry(&args);
        assert_eq!(
            std::fs::read(&path).unwrap(),
            before,
            "the same bytes again"
        );
    }
    let changed = json!({"name": two, "config": sink("other", json!({"connection.password": "CANARY1", "pk.mode": "kafka"}))});
    let absent = json!({"name": "absent", "config": sink("t", json!({}))});
    let path = write(&place.join("changed.json"), &json!([changed, absent]));
    let (out, _, code) = rowferry(&["diff", "-f", &path]);
    assert_eq!(code, Some(8));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(
        lines[..4],
        [
            format!("~ {two}").as_str(),
            "    - batch.size: 7",
            "    ~ connection.password: [hidden] -> [hidden]",
            "    + pk.mode: kafka",
        ],
        "{out}"
    );
    assert!(
        lines[4].starts_with("    ~ topics: ") && lines[5] == "+ absent",
        "{out}"
    );
    rowferry(&["delete", &one, &two]);
}

#[tokio::test]
async fn pruning_deletes_only_connectors_with_the_label() {
    let (label, place) = (unique("label"), folder());
    let named = |name: &str, label: Option<&str>| {
        let more = label.map_or(json!({}), |label| json!({"rowferry.managed": label}));
        json!({"name": name, "config": sink(name, more), "initial_state": "STOPPED"})
    };
    let [kept, gone, others, unlabelled] = ["kept", "gone", "others", "unlabelled"].map(unique);
    let other_label = unique("label");
    let all = json!([
        named(&kept, Some(&label)),
        named(&gone, Some(&label)),
        named(&others, Some(&other_label)),
        named(&unlabelled, None)
    ]);
    rowferry(&["create", "-f", &write(&place.join("all.json"), &all)]);
    let wanted = write(
        &place.join("wanted.json"),
        &json!([named(&kept, Some(&label))]),
    );
    let (out, _, code) = rowferry(&["diff", "-f", &wanted, "--prune", &label]);
    assert_eq!((out, code), (format!("- {gone}\n"), Some(8)));
    let (out, ..) = rowferry(&["apply", "-f", &wanted, "--prune", &label, "--dry-run"]);
    assert!(
        out.ends_with(&format!("{gone} would be deleted\n")),
        "{out}"
    );
    let without = write(&place.join("without.json"), &json!([named(&kept, None)]));
    let (out, err, code) = rowferry(&["apply", "-f", &without, "--prune", &label]);
    assert!(
        out.is_empty() && code == Some(78) && err.contains(&format!("in {kept}")),
        "{out}{err}"
    );
    let (out, err, code) = rowferry(&["apply", "-f", &wanted, "--prune", &label]);
    assert!(
        out.ends_with(&format!("{gone} deleted\n")) && code == Some(0),
        "{out}{err}"
    );
    let rest = lab().worker().rest();
    for (name, status) in [
        (&kept, 200),
        (&gone, 404),
        (&others, 200),
        (&unlabelled, 200),
    ] {
        rest.get(&format!("/connectors/{name}"))
            .await
            .expect(status);
    }
    rowferry(&["delete", &kept, &others, &unlabelled]);
}

#[tokio::test]
async fn a_plan_that_could_not_reach_its_target_has_its_own_exit_code() {
    let (pipe, _connection) = orders("gone_target").await;
    let connectors = both(
        &pipe,
        lab().mariadb(),
        json!({}),
        json!({"connection.url": "jdbc:mariadb://127.0.0.1:1/nothing"}),
    );
    let (out, err, code) = rowferry(&["plan", "-f", &write(&folder().join("c.json"), &connectors)]);
    assert_eq!(code, Some(69), "{out}{err}");
    assert!(
        out.contains("table") && out.contains("? not known (target): "),
        "{out}"
    );
}
