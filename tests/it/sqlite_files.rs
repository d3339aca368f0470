//! SQLite files outside of the folders that the worker's settings name: neither read, nor created, nor distinguished.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{Rowferry, Settings, SqliteFile, for_condition, sqlite, unique};

use crate::{SOON, lab};

fn source(url: &str, query: &str) -> Value {
    json!({"name": "files", "connector.class": "JdbcSource", "connection.url": url, "mode": "bulk", "query": query,
        "topic.prefix": "files", "connection.attempts": "1"})
}

fn sink(url: &str) -> Value {
    json!({"name": "files", "connector.class": "JdbcSink", "connection.url": url, "topics": "files", "connection.attempts": "1"})
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_files_outside_of_the_allowed_folders_are_neither_read_nor_made() {
    let root = lab().scratch().path().join(unique("files"));
    let (inside, outside) = (root.join("inside"), root.join("outside"));
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::create_dir_all(outside.join("deep")).unwrap();
    for folder in [&inside, &outside] {
        sqlite::run(
            &mut SqliteFile::at(&folder.join("there.db")).connect().await,
            "CREATE TABLE t (a INT)",
        )
        .await;
    }
    std::os::unix::fs::symlink(outside.join("there.db"), inside.join("link.db")).unwrap();
    std::os::unix::fs::symlink(outside.join("made.db"), inside.join("dangling.db")).unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("folder")).unwrap();
    let allowed = inside.display().to_string();
    let settings = Settings::dev(&unique("files")).with("sqlite.allowed.paths", &allowed);
    let worker = Rowferry::start(lab().scratch(), settings);
    let rest = worker.rest();
    let before = listed(&outside);
    let (inside, outside) = (inside.display(), outside.display());
    for path in [
        format!("{outside}/there.db"),
        format!("{outside}/made.db"),
        format!("{outside}/no/folder.db"),
        format!("{inside}/../outside/there.db"),
        format!("{inside}/../outside/deep/made.db"),
        format!("{inside}/link.db"),
        format!("{inside}/dangling.db"),
        format!("{inside}/folder/there.db"),
        format!("file:{outside}/there.db?mode=rwc"),
        format!("file:{outside}/%6dade.db"),
        format!("//{outside}/made.db"),
        "/proc/self/mem".to_owned(),
        "made.db".to_owned(),
    ] {
        for config in [
            source(&format!("jdbc:sqlite:{path}"), "SELECT 1"),
            sink(&format!("jdbc:sqlite:{path}")),
        ] {
            let class = config["connector.class"].as_str().unwrap();
            let checked = rest
                .put(
                    &format!("/connector-plugins/{class}/config/validate"),
                    &config,
                )
                .await
                .expect(200);
            assert!(
                checked.text.contains("sqlite.allowed.paths"),
                "{path}: {}",
                checked.text
            );
            let made = rest
                .post("/connectors", &json!({"name": "files", "config": config}))
                .await
                .expect(400);
            assert!(
                made.text.contains("sqlite.allowed.paths"),
                "{path}: {}",
                made.text
            );
        }
    }
    let here = format!("jdbc:sqlite:{inside}/there.db");
    for config in [
        source(&here, "SELECT a FROM t"),
        sink(&here),
        sink(&format!("jdbc:sqlite:{inside}/new.db")),
    ] {
        let class = config["connector.class"].as_str().unwrap();
        let checked = rest
            .put(
                &format!("/connector-plugins/{class}/config/validate"),
                &config,
            )
            .await
            .expect(200);
        assert_eq!(checked.body["error_count"], 0, "{}", checked.text);
    }
    // statements that reach other files
    for query in [
        format!("ATTACH '{outside}/attached.db' AS x"),
        format!("/* */ attach '{outside}/attached.db' AS x"),
        format!("VACUUM INTO '{outside}/copy.db'"),
        format!("SELECT 1; ATTACH '{outside}/attached.db' AS x"),
        "PRAGMA journal_mode = wal".to_owned(),
    ] {
        let mut config = source(&here, &query);
        config["connection.backoff.ms"] = json!("100");
        let made = rest
            .post("/connectors", &json!({"name": "files", "config": config}))
            .await;
        if made.status == 201 {
            rest.wait_state("files", "FAILED", SOON).await;
            rest.remove("files").await;
        }
    }
    // and those that a quote within a name in brackets would hide
    for hidden in [
        &format!("ATTACH '{outside}/attached.db' AS x"),
        "COMMIT",
        "PRAGMA hard_heap_limit = 1",
    ] {
        let mut config = sink(&here);
        config["insert.mode"] = json!("statement");
        config["statement"] = json!(format!("SELECT 1 AS [']; {hidden}; --']"));
        let made = rest
            .post("/connectors", &json!({"name": "files", "config": config}))
            .await
            .expect(400);
        assert!(
            made.text.contains("a statement may begin with"),
            "{}",
            made.text
        );
    }
    assert_eq!(listed(Path::new(&outside.to_string())), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_own_store_is_no_database_of_connectors() {
    let name = unique("own-store");
    let settings = Settings::dev(&name)
        .with("rowferry.data.dir", "data")
        .with("rowferry.store.url", "sqlite:data/rowferry.db");
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("sqlite.allowed.paths", "data"),
    );
    for file in [
        "data/rowferry.db",
        "data/../data/rowferry.db",
        "data/rowferry.db-wal",
        "data/secrets.key",
    ] {
        let config = source(
            &format!("jdbc:sqlite:{file}"),
            "SELECT * FROM sqlite_master",
        );
        let made = worker
            .rest()
            .post("/connectors", &json!({"name": "files", "config": config}))
            .await
            .expect(400);
        assert!(
            made.text.contains("the worker's own"),
            "{file}: {}",
            made.text
        );
    }
    let made = worker
        .rest()
        .post(
            "/connectors",
            &json!({"name": "files", "config": sink("jdbc:sqlite:data/mine.db")}),
        )
        .await;
    made.expect(201);
    let file = lab().scratch().path().join(&name).join("data/mine.db");
    for_condition("the sink's file", SOON, async || file.exists()).await;
}

fn listed(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    names.sort_unstable();
    names
}
