//! The metadata store on each of its databases: what was applied comes back, and it belongs to one worker.

use std::sync::Arc;

use connector_api::Config;
use rowferry::model::{RunState, RunStatus, TargetState};
use rowferry::store::{Store, StoreChange, StoreOptions};
use testkit::{MariaDb, Postgres, unique};

use crate::lab;

fn status(state: RunState, trace: Option<&str>) -> RunStatus {
    RunStatus {
        state,
        worker_id: Arc::from("w:1"),
        trace: trace.map(str::to_owned),
    }
}

/// A connector's life: made, planned, failed, changed, deleted, made again.
async fn keeps_what_it_is_given(store: &Store) {
    let name: Arc<str> = Arc::from("a connector \u{1F600} it's");
    let [first, second] = ["1", "2"]
        .map(|v| Config::from([("name", "a"), ("weird \"key\"", "v\n$1 ? \\"), ("v", v)]));
    let create = StoreChange::Create {
        name: Arc::clone(&name),
        config: first.clone(),
        target: TargetState::Stopped,
        slot: 3,
    };
    store
        .apply(std::slice::from_ref(&create), 1_000)
        .await
        .unwrap();
    store.apply(&[create], 1_001).await.unwrap_err();
    let writes = [
        StoreChange::SetTasks {
            name: Arc::clone(&name),
            revision: 0,
            replaced: Vec::new(),
            tasks: vec![first.clone().into(), second.clone().into()],
        },
        StoreChange::SetStatus {
            name: Arc::clone(&name),
            task: None,
            status: status(RunState::Running, None),
        },
        StoreChange::SetStatus {
            name: Arc::clone(&name),
            task: Some(1),
            status: status(RunState::Failed, Some("why \u{1F600}")),
        },
        StoreChange::AddTopic {
            name: Arc::clone(&name),
            topic: Arc::from("t"),
        },
        StoreChange::AddTopic {
            name: Arc::clone(&name),
            topic: Arc::from("t"),
        },
        StoreChange::SetTarget {
            name: Arc::clone(&name),
            target: TargetState::Started,
        },
    ];
    store.apply(&writes, 2_000).await.unwrap();
    let loaded = store.load().await.unwrap();
    let [stored] = loaded.as_slice() else {
        panic!("{loaded:?}")
    };
    assert_eq!(
        (&stored.name, &stored.config, stored.target),
        (&name, &first, TargetState::Started)
    );
    let configs: Vec<&Config> = stored.tasks.iter().map(|task| &task.config).collect();
    assert_eq!(configs, [&first, &second]);
    assert_eq!(stored.status.as_ref().unwrap().state, RunState::Running);
    assert_eq!(
        stored.task_statuses[&1].trace.as_deref(),
        Some("why \u{1F600}")
    );
    assert_eq!(
        stored.topics.iter().map(|t| &**t).collect::<Vec<_>>(),
        ["t"]
    );

    store
        .apply(
            &[StoreChange::SetTasks {
                name: Arc::clone(&name),
                revision: 0,
                replaced: Vec::new(),
                tasks: vec![first.clone().into()],
            }],
            2_500,
        )
        .await
        .unwrap();
    assert!(
        store.load().await.unwrap()[0].task_statuses.is_empty(),
        "the status of a task that is gone stays"
    );
    store
        .apply(
            &[StoreChange::Replace {
                name: Arc::clone(&name),
                config: second.clone(),
            }],
            3_000,
        )
        .await
        .unwrap();
    assert!(
        store.load().await.unwrap()[0].tasks.is_empty(),
        "tasks of an older config stay"
    );
    store
        .apply(
            &[StoreChange::Delete {
                name: Arc::clone(&name),
            }],
            4_000,
        )
        .await
        .unwrap();
    assert!(store.load().await.unwrap().is_empty());
    let again = StoreChange::Create {
        name: Arc::clone(&name),
        config: first.clone(),
        target: TargetState::Started,
        slot: 3,
    };
    store.apply(&[again], 5_000).await.unwrap();
    assert!(
        store.load().await.unwrap()[0].topics.is_empty(),
        "topics of the deleted connector stay"
    );
    let history = store.history(&name).await.unwrap();
    assert_eq!(
        history
            .into_iter()
            .map(|v| (v.version, v.config, v.at_ms))
            .collect::<Vec<_>>(),
        [
            (1, Some(first.clone()), 1_000),
            (2, Some(second), 3_000),
            (3, None, 4_000),
            (4, Some(first), 5_000)
        ]
    );
}

fn options(url: &str) -> StoreOptions {
    StoreOptions::new(url, lab().scratch().path().join(unique("store-keys")))
}

async fn survives_and_belongs_to_one_worker(url: &str) {
    let options = options(url);
    let store = Store::open(&options).await.unwrap();
    keeps_what_it_is_given(&store).await;
    let refused = Store::open(&options)
        .await
        .err()
        .map(|e| e.message().to_owned())
        .unwrap();
    assert!(refused.contains("another worker"), "{refused}");
    store.close().await;
    drop(store);
    let again = Store::open(&options).await.unwrap();
    assert_eq!(again.load().await.unwrap().len(), 1);
    again.close().await;
}

#[tokio::test]
async fn in_memory() {
    keeps_what_it_is_given(&Store::open(&options("sqlite::memory:")).await.unwrap()).await;
}

#[tokio::test]
async fn in_an_sqlite_file_whose_folder_is_made() {
    let path = lab().scratch().path().join("store/deeper/rowferry.db");
    survives_and_belongs_to_one_worker(&format!("sqlite:{}", path.display())).await;
    use std::os::unix::fs::PermissionsExt;
    let mode = path
        .parent()
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "configs hold passwords");
}

#[tokio::test]
async fn in_mariadb() {
    let database = unique("store");
    lab().mariadb().create_database(&database).await;
    let (user, password, port) = (MariaDb::USER, MariaDb::PASSWORD, lab().mariadb().port());
    survives_and_belongs_to_one_worker(&format!(
        "mysql://{user}:{password}@127.0.0.1:{port}/{database}"
    ))
    .await;
}

#[tokio::test]
async fn in_postgresql() {
    let database = unique("store");
    lab().postgres().create_database(&database).await;
    let (user, password, port) = (Postgres::USER, Postgres::PASSWORD, lab().postgres().port());
    survives_and_belongs_to_one_worker(&format!(
        "postgres://{user}:{password}@127.0.0.1:{port}/{database}"
    ))
    .await;
}
