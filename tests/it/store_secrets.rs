//! What the metadata store holds is its owner's alone: modes of files, encrypted configs, keys, and a history with an end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::{Config, ErrorKind};
use rowferry::model::TargetState;
use rowferry::store::{HistoryLimits, Store, StoreChange, StoreOptions};
use serde_json::json;
use testkit::{MariaDb, Rowferry, Settings, SqliteFile, for_condition, unique};

use crate::command_line::{printed, program};
use crate::{SOON, lab};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECRET: &str = "CANARY-5f2c";

fn config(version: i64) -> Config {
    Config::from([("connection.password", SECRET), ("v", &version.to_string())])
}

fn create(name: &str) -> StoreChange {
    StoreChange::Create {
        name: Arc::from(name),
        config: config(1),
        target: TargetState::Stopped,
        slot: 3,
    }
}

fn replace(name: &str, version: i64) -> StoreChange {
    StoreChange::Replace {
        name: Arc::from(name),
        config: config(version),
    }
}

fn delete(name: &str) -> StoreChange {
    StoreChange::Delete {
        name: Arc::from(name),
    }
}

fn tasks(name: &str) -> StoreChange {
    StoreChange::SetTasks {
        name: Arc::from(name),
        revision: 0,
        replaced: Vec::new(),
        tasks: vec![config(1).into(), config(1).into()],
    }
}

fn folder() -> PathBuf {
    lab().scratch().path().join(unique("secrets"))
}

fn sqlite(folder: &Path) -> StoreOptions {
    StoreOptions::new(format!("sqlite:{}/rowferry.db", folder.display()), folder)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Whether any file of a folder holds the secret as it is.
fn leaks(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    files
        .map(|file| std::fs::read(file.path()).unwrap())
        .any(|bytes| {
            bytes
                .windows(SECRET.len())
                .any(|window| window == SECRET.as_bytes())
        })
}

async fn versions(store: &Store, name: &str) -> Vec<(i64, bool)> {
    store
        .history(name)
        .await
        .unwrap()
        .into_iter()
        .map(|v| (v.version, v.config.is_some()))
        .collect()
}

#[tokio::test]
async fn the_files_of_a_store_are_their_owners_alone_in_any_folder() {
    let name = unique("modes");
    let folder = lab().scratch().path().join(&name).join("rowferry-data");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&name, lab().kafka().brokers()),
    );
    let rest = worker.rest();
    let sink = json!({"connector.class": "JdbcSinkConnector", "topics": "secrets_none", "connection.password": SECRET,
                      "connection.url": format!("jdbc:sqlite:{}/target.db", folder.display())});
    rest.post(
        "/connectors",
        &json!({"name": "c", "initial_state": "STOPPED", "config": sink}),
    )
    .await
    .expect(201);
    let ours = ["rowferry.db", "rowferry.db-wal", "secrets.key"];
    for file in ours {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&folder), 0o700, "a folder with nothing else in it");
    assert!(!leaks(&folder), "a password is in the store's files");
    worker.kill();
    for file in ours {
        std::fs::set_permissions(folder.join(file), std::fs::Permissions::from_mode(0o644))
            .unwrap();
    }
    worker.restart();
    for file in ["rowferry.db", "secrets.key"] {
        assert_eq!(
            mode(&folder.join(file)),
            0o600,
            "{file} of an older version"
        );
        assert!(
            worker
                .log()
                .contains(&format!("{file} was accessible to others")),
            "the log says nothing of {file}"
        );
    }
    rest.put_empty("/connectors/c/pause").await.expect(202);
    for_condition("the log of the store", SOON, async || {
        folder.join("rowferry.db-wal").exists()
    })
    .await;
    assert_eq!(mode(&folder.join("rowferry.db-wal")), 0o600);
    worker.stop(SOON);
}

#[tokio::test]
async fn a_store_of_an_older_version_is_encrypted_and_nothing_of_it_is_left() {
    let folder = folder();
    let options = sqlite(&folder);
    let store = Store::open(&options).await.unwrap();
    store
        .apply(
            &[
                create("c"),
                tasks("c"),
                replace("c", 2),
                tasks("c"),
                create("gone"),
                delete("gone"),
            ],
            1,
        )
        .await
        .unwrap();
    store.close().await;
    // As the version before this one has left it.
    let file = SqliteFile::at(&folder.join("rowferry.db"));
    let mut connection = file.connect().await;
    let plain = |version| json!({"connection.password": SECRET, "v": format!("{version}")});
    let pad = "x".repeat(100);
    testkit::sqlite::run(
        &mut connection,
        &format!(
            "DROP TABLE last_change; DELETE FROM _sqlx_migrations WHERE version = 2; UPDATE connectors SET config = '{two}'; \
             UPDATE tasks SET config = '{one}'; UPDATE config_history SET config = '{one}' WHERE config IS NOT NULL; \
             UPDATE config_history SET config = '{two}' WHERE connector = 'c' AND version = 2; \
             CREATE TABLE rubbish (a TEXT); INSERT INTO rubbish VALUES ('{SECRET}{pad}'); DROP TABLE rubbish",
            one = plain(1),
            two = plain(2)
        ),
    )
    .await;
    sqlx::Connection::close(connection).await.unwrap();
    std::fs::remove_file(folder.join("secrets.key")).unwrap();
    assert!(leaks(&folder));
    for _ in 0..2 {
        let store = Store::open(&options).await.unwrap();
        let [stored] = store.load().await.unwrap().try_into().unwrap();
        assert_eq!(
            (stored.config, stored.tasks),
            (config(2), vec![config(1).into(), config(1).into()])
        );
        assert_eq!(store.history("c").await.unwrap()[1].config, Some(config(2)));
        assert_eq!(versions(&store, "gone").await, [(1, true), (2, false)]);
        assert!(!leaks(&folder), "a password is left in the store's files");
        store.close().await;
        assert!(!leaks(&folder));
    }
}

/// The error of a start, which must say how to fix it.
async fn refused(options: &StoreOptions) -> String {
    let error = Store::open(options)
        .await
        .err()
        .expect("a start without the key");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.message().to_owned()
}

#[tokio::test]
async fn a_key_that_is_lost_wrong_or_no_key_stops_the_start_and_names_the_ways_out() {
    let folder = folder();
    let options = sqlite(&folder);
    let store = Store::open(&options).await.unwrap();
    store
        .apply(&[create("kept"), replace("kept", 2)], 1)
        .await
        .unwrap();
    store.close().await;
    let (file, away) = (folder.join("secrets.key"), folder.join("away.key"));
    std::fs::rename(&file, &away).unwrap();
    let text = refused(&options).await;
    for word in [
        "does not exist",
        "rowferry.secrets.key",
        "rowferry.secrets.forget=",
        "kept",
        "2 earlier versions",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(
        !file.exists(),
        "another key must not take the place of the one that is missed"
    );
    for (key, word) in [
        ("c2hvcnQ=", "32 random bytes"),
        (OTHER_KEY, "is another key"),
        ("file:/nowhere", "/nowhere"),
    ] {
        let text = refused(&StoreOptions {
            secrets_key: Some(key.to_owned()),
            ..options.clone()
        })
        .await;
        assert!(
            text.contains(word) && !text.contains(KEY) && !text.contains("c2hvcnQ"),
            "{word}: {text}"
        );
    }
    std::fs::write(&file, "no key").unwrap();
    assert!(refused(&options).await.contains("has no key"));
    // The same key, given otherwise.
    std::fs::remove_file(&file).unwrap();
    let given = StoreOptions {
        secrets_key: Some(format!("file:{}", away.display())),
        ..options.clone()
    };
    let store = Store::open(&given).await.unwrap();
    assert_eq!(store.load().await.unwrap()[0].config, config(2));
    store.close().await;
    // Lost for good: what it encrypts goes, by a word that no other key has.
    let id = text
        .split("rowferry.secrets.forget=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    assert!(
        refused(&StoreOptions {
            forget_key: Some("0123456789abcdef".to_owned()),
            ..options.clone()
        })
        .await
        .contains(&id)
    );
    let store = Store::open(&StoreOptions {
        forget_key: Some(id),
        ..options.clone()
    })
    .await
    .unwrap();
    assert!(store.load().await.unwrap().is_empty() && versions(&store, "kept").await.is_empty());
    store.apply(&[create("kept")], 1).await.unwrap();
    store.close().await;
    assert_eq!(
        Store::open(&options)
            .await
            .unwrap()
            .load()
            .await
            .unwrap()
            .len(),
        1
    );
}

/// What a worker that does not start says, and its exit code.
fn refused_start(folder: &Path) -> (String, Option<i32>) {
    let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .args(["--brokers", "127.0.0.1:1", "--data-dir"])
        .arg(folder);
    let (_, errors, code) = printed(&mut command);
    (errors, code)
}

#[tokio::test]
async fn a_worker_whose_store_or_key_is_lost_does_not_start_with_an_empty_one() {
    const CONFIG: i32 = 78;
    let name = unique("lost");
    let folder = lab().scratch().path().join(&name).join("rowferry-data");
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&name, lab().kafka().brokers()),
    );
    let sink = json!({"connector.class": "JdbcSinkConnector", "topics": "lost_none",
                      "connection.url": format!("jdbc:sqlite:{}/target.db", folder.display())});
    let made = worker
        .rest()
        .post(
            "/connectors",
            &json!({"name": "c", "initial_state": "STOPPED", "config": sink}),
        )
        .await;
    made.expect(201);
    // With a log of changes beside the file, as after a crash.
    worker.kill();
    let (store, key, log) = (
        folder.join("rowferry.db"),
        folder.join("secrets.key"),
        folder.join("rowferry.db-wal"),
    );
    let [whole, changes, key_text] = [&store, &log, &key].map(|path| std::fs::read(path).unwrap());
    assert!(!changes.is_empty());
    let without_tables = folder.with_extension("db");
    testkit::sqlite::run(
        &mut SqliteFile::at(&without_tables).connect().await,
        "PRAGMA user_version = 1",
    )
    .await;
    let without_tables = std::fs::read(without_tables).unwrap();

    let lost = |state: &str, left: &Path| {
        let (error, code) = refused_start(&folder);
        let left = left.display().to_string();
        let store = store.display().to_string();
        for word in [
            state,
            &left,
            &store,
            "from a backup",
            "To start without connectors",
            "rowferry.store.url",
        ] {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(code, Some(CONFIG), "{error}");
        assert!(
            std::fs::metadata(&store).map_or(0, |found| found.len()) < 8192,
            "a new store was made"
        );
    };
    std::fs::write(&store, "").unwrap();
    lost("is empty (0 bytes)", &log);
    assert_eq!(
        std::fs::read(&log).unwrap(),
        changes,
        "what a copy of the file needs was removed"
    );
    std::fs::remove_file(&store).unwrap();
    lost("is missing", &log);
    std::fs::remove_file(&log).unwrap();
    lost("is missing", &key);
    assert!(!store.exists());
    std::fs::write(&store, "").unwrap();
    lost("is empty (0 bytes)", &key);
    std::fs::write(&store, without_tables).unwrap();
    lost("has no tables", &key);

    // Put back, without its key: no other key is made.
    std::fs::write(&store, &whole).unwrap();
    std::fs::write(&log, &changes).unwrap();
    for damage in [None, Some("")] {
        std::fs::remove_file(&key).unwrap();
        if let Some(text) = damage {
            std::fs::write(&key, text).unwrap();
        }
        let (error, code) = refused_start(&folder);
        let word = if damage.is_some() {
            "restore it from a copy"
        } else {
            "Restore the key file"
        };
        assert!(
            error.contains(word) && error.contains(&key.display().to_string()),
            "{error}"
        );
        assert_eq!(code, Some(CONFIG), "{error}");
        assert_eq!(
            std::fs::read(&key).unwrap_or_default(),
            b"",
            "a new key was made"
        );
        std::fs::write(&key, &key_text).unwrap();
    }
    worker.restart();
    worker.rest().get("/connectors/c").await.expect(200);
    worker.stop(SOON);

    // The way to start without connectors that the text names.
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&key, folder.join("secrets.key.old")).unwrap();
    worker.restart();
    assert_eq!(
        worker.rest().get("/connectors").await.expect(200).body,
        json!([])
    );
}

#[tokio::test]
async fn a_key_that_was_put_there_for_a_new_store_is_no_sign_of_an_old_one() {
    let folder = folder();
    std::fs::create_dir_all(&folder).unwrap();
    let key = folder.join("secrets.key");
    std::fs::write(&key, KEY).unwrap();
    assert!(refused(&sqlite(&folder)).await.contains("is missing"));
    let named = StoreOptions {
        secrets_key: Some(format!("file:{}", key.display())),
        ..sqlite(&folder)
    };
    Store::open(&named).await.unwrap().close().await;
}

#[tokio::test]
async fn another_key_takes_the_place_of_the_key_files() {
    let folder = folder();
    let options = sqlite(&folder);
    let store = Store::open(&options).await.unwrap();
    store
        .apply(&[create("c"), tasks("c"), replace("c", 2)], 1)
        .await
        .unwrap();
    store.close().await;
    let with_key = StoreOptions {
        secrets_key: Some(KEY.to_owned()),
        ..options.clone()
    };
    Store::open(&with_key).await.unwrap().close().await;
    std::fs::remove_file(folder.join("secrets.key")).unwrap();
    let store = Store::open(&with_key).await.unwrap();
    assert_eq!(store.history("c").await.unwrap().len(), 2);
    store.close().await;
    assert!(
        refused(&options)
            .await
            .contains("which this worker does not have")
    );
}

#[tokio::test]
async fn a_database_servers_store_encrypts_history_and_with_a_chosen_key_everything() {
    let database = unique("secrets");
    let mut connection = lab().mariadb().create_database(&database).await;
    let (user, password, port) = (MariaDb::USER, MariaDb::PASSWORD, lab().mariadb().port());
    let options = StoreOptions::new(
        format!("mysql://{user}:{password}@127.0.0.1:{port}/{database}"),
        folder(),
    );
    let store = Store::open(&options).await.unwrap();
    store.apply(&[create("c"), tasks("c")], 1).await.unwrap();
    store.close().await;
    let mut plain = async |table: &str| {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE config LIKE '%{SECRET}%'");
        testkit::mariadb::count(&mut connection, &sql).await
    };
    assert_eq!(
        (
            plain("config_history").await,
            plain("connectors").await,
            plain("tasks").await
        ),
        (0, 1, 2)
    );
    assert_eq!(mode(&options.data_dir.join("secrets.key")), 0o600);
    let chosen = StoreOptions {
        secrets_key: Some(KEY.to_owned()),
        ..options.clone()
    };
    let store = Store::open(&chosen).await.unwrap();
    assert_eq!(
        (
            plain("config_history").await,
            plain("connectors").await,
            plain("tasks").await
        ),
        (0, 0, 0)
    );
    assert_eq!(store.load().await.unwrap()[0].tasks.len(), 2);
    store.close().await;
    // Another worker on the same store needs the same key.
    let text = refused(&StoreOptions::new(options.url.clone(), folder())).await;
    assert!(
        text.contains("workers that share a store need the same key"),
        "{text}"
    );
}

#[tokio::test]
async fn history_has_a_bound_and_forgets_deleted_connectors() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let limits = HistoryLimits {
        versions: 3,
        total: 4,
        deleted_ms: 30 * DAY,
    };
    let store = Store::open(&StoreOptions {
        history: limits,
        ..sqlite(&folder())
    })
    .await
    .unwrap();
    store.apply(&[create("a")], 1).await.unwrap();
    for version in 2..=10 {
        store
            .apply(&[replace("a", version)], version)
            .await
            .unwrap();
    }
    assert_eq!(
        versions(&store, "a").await,
        [(8, true), (9, true), (10, true)]
    );
    store
        .apply(&[create("b"), delete("b"), create("c")], 2 * DAY)
        .await
        .unwrap();
    assert_eq!(
        store.trim(3 * DAY).await.unwrap(),
        1,
        "six versions are there, four may be"
    );
    assert_eq!(versions(&store, "a").await, [(10, true)]);
    assert_eq!(versions(&store, "b").await, [(1, true), (2, false)]);
    assert_eq!(store.trim(32 * DAY - 1).await.unwrap(), 0);
    assert_eq!(store.trim(32 * DAY).await.unwrap(), 1);
    assert!(versions(&store, "b").await.is_empty() && versions(&store, "c").await == [(1, true)]);
    store.apply(&[replace("a", 11)], 33 * DAY).await.unwrap();
    assert_eq!(
        versions(&store, "a").await,
        [(10, true), (11, true)],
        "the numbers go on"
    );
}
