//! A metadata store that several workers share: of two that change it at once one is refused, each learns of
//! the other's changes, and only the owner of a task writes its status.

use std::sync::Arc;

use connector_api::Config;
use rowferry::model::{RunState, RunStatus, TargetState};
use rowferry::store::{
    Store, StoreChange, StoreMember, StoreNews, StoreOptions, StoreSnapshot, StoreTrouble,
    WorkerBusy,
};
use testkit::{MariaDb, Postgres, unique};

use crate::lab;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

async fn urls() -> [String; 2] {
    let name = unique("shared_store");
    drop(lab().mariadb().create_database(&name).await);
    drop(lab().postgres().create_database(&name).await);
    [
        format!(
            "mysql://{}:{}@127.0.0.1:{}/{name}",
            MariaDb::USER,
            MariaDb::PASSWORD,
            lab().mariadb().port()
        ),
        format!(
            "postgres://{}:{}@127.0.0.1:{}/{name}",
            Postgres::USER,
            Postgres::PASSWORD,
            lab().postgres().port()
        ),
    ]
}

fn options(url: &str, id: &str, group: &str) -> StoreOptions {
    StoreOptions {
        secrets_key: Some(KEY.to_owned()),
        member: Some(StoreMember {
            id: id.to_owned(),
            instance: format!("{id}-1"),
            url: format!("http://{id}"),
            group_id: group.to_owned(),
            slots: 8,
        }),
        ..StoreOptions::new(url, lab().scratch().path().join(unique("data")))
    }
}

fn create(name: &str, slot: u16) -> StoreChange {
    StoreChange::Create {
        name: Arc::from(name),
        config: Config::from([("name", name)]),
        target: TargetState::Started,
        slot,
    }
}

fn status(name: &str, task: Option<u32>, worker: &str) -> StoreChange {
    StoreChange::SetStatus {
        name: Arc::from(name),
        task,
        status: RunStatus {
            state: RunState::Running,
            worker_id: Arc::from(worker),
            trace: None,
        },
    }
}

async fn everything(store: &Store) -> StoreSnapshot {
    match store.news(false).await.unwrap() {
        StoreNews::Everything(snapshot) => snapshot,
        other => panic!("everything has changed, and not only {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_that_change_a_shared_store_at_once_one_is_refused_and_tries_again() {
    for url in urls().await {
        let a = Store::open(&options(&url, "a:1", "g")).await.unwrap();
        let b = Store::open(&options(&url, "b:1", "g")).await.unwrap();
        a.news(true).await.unwrap();
        b.news(true).await.unwrap();
        for round in 0..20 {
            let name = format!("c{round}");
            let writes = [create(&name, 0)];
            let (one, other) = tokio::join!(a.apply(&writes, 1), b.apply(&writes, 1));
            let refused = match (one, other) {
                (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
                both => panic!("one of both is stored: {both:?}"),
            };
            assert_eq!(refused.trouble, StoreTrouble::Changed, "{refused:?}");
            for store in [&a, &b] {
                store.news(true).await.unwrap();
            }
        }
        a.apply(&[create("last", 0)], 1).await.unwrap();
        assert!(matches!(
            b.apply(&[create("too-late", 0)], 1).await,
            Err(failure) if failure.trouble == StoreTrouble::Changed
        ));
        let there = everything(&b).await.connectors;
        assert_eq!(there.len(), 21, "{there:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_connector_made_again_are_known_by_their_revisions() {
    for url in urls().await {
        let a = Store::open(&options(&url, "a:1", "g")).await.unwrap();
        a.news(true).await.unwrap();
        let mut seen = Vec::new();
        let target = |target| StoreChange::SetTarget {
            name: Arc::from("c"),
            target,
        };
        for (at, change) in [
            (1000, create("c", 0)),
            (1001, target(TargetState::Paused)),
            (1002, target(TargetState::Stopped)),
            (1003, target(TargetState::Started)),
            (
                1004,
                StoreChange::Delete {
                    name: Arc::from("c"),
                },
            ),
            (1005, create("c", 0)),
        ] {
            a.apply(&[change], at).await.unwrap();
            let StoreNews::Everything(all) = a.news(true).await.unwrap() else {
                panic!("all was asked for")
            };
            seen.extend(
                all.connectors
                    .iter()
                    .map(|one| (one.created_ms, one.revision)),
            );
        }
        let first = [(1000, 1000), (1000, 1000), (1000, 1001), (1000, 1001)];
        assert_eq!(seen, [&first[..], &[(1005, 1005)]].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_of_a_slot_writes_statuses_of_what_lies_in_it() {
    for url in urls().await {
        let a = Store::open(&options(&url, "a:1", "g")).await.unwrap();
        let b = Store::open(&options(&url, "b:1", "g")).await.unwrap();
        a.claim(&[0, 1], 1).await.unwrap();
        b.claim(&[2, 3], 1).await.unwrap();
        a.news(true).await.unwrap();
        let tasks = StoreChange::SetTasks {
            name: Arc::from("c"),
            revision: 1,
            replaced: Vec::new(),
            tasks: [0, 3]
                .map(|slot| rowferry::store::StoredTask {
                    config: Config::new(),
                    slot,
                    restarts: 0,
                })
                .into(),
        };
        a.apply(&[create("c", 1), tasks], 1).await.unwrap();
        let own = [status("c", None, "a:1"), status("c", Some(0), "a:1")];
        assert!(a.report(&own, 2).await.unwrap());
        let stale = b.report(&[status("c", Some(1), "b:1")], 2).await;
        assert_eq!(stale.unwrap_err().trouble, StoreTrouble::Changed);
        everything(&b).await;
        assert!(b.report(&[status("c", Some(1), "b:1")], 2).await.unwrap());
        for foreign in [
            status("c", None, "b:1"),
            status("c", Some(0), "b:1"),
            status("unknown", None, "b:1"),
        ] {
            assert!(!b.report(&[foreign], 3).await.unwrap());
        }
        // A worker that was frozen finds its slot claimed by another one.
        b.claim(&[0], 4).await.unwrap();
        let late = [status("c", Some(0), "a:1")];
        let stale = a.report(&late, 5).await;
        assert_eq!(stale.unwrap_err().trouble, StoreTrouble::Changed);
        everything(&a).await;
        assert!(!a.report(&late, 5).await.unwrap());
        b.news(true).await.unwrap();
        a.report(&[status("c", None, "a:1")], 5).await.unwrap();
        let StoreNews::Everything(snapshot) = a.news(true).await.unwrap() else {
            panic!("all was asked for")
        };
        let stored = &snapshot.connectors[0];
        assert_eq!(&*stored.status.as_ref().unwrap().worker_id, "a:1");
        let workers: Vec<&str> = stored
            .task_statuses
            .values()
            .map(|status| &*status.worker_id)
            .collect();
        assert_eq!(workers, ["a:1", "b:1"]);
        let owners: Vec<&str> = snapshot.slots.values().map(|owner| &**owner).collect();
        assert_eq!(owners, ["b:1", "a:1", "b:1", "b:1"]);
        // A status alone is news of statuses alone.
        b.report(&[status("c", Some(1), "b:1")], 6).await.unwrap();
        assert!(matches!(
            a.news(false).await.unwrap(),
            StoreNews::Statuses(all) if all.len() == 3
        ));
        assert!(matches!(a.news(false).await.unwrap(), StoreNews::Nothing));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_seen_by_the_clock_of_the_store_and_publish_how_busy_they_are() {
    for url in urls().await {
        let a = Store::open(&options(&url, "a:1", "g")).await.unwrap();
        let b = Store::open(&options(&url, "b:1", "g")).await.unwrap();
        let busy = WorkerBusy {
            processors: 4.0,
            tasks: vec![("c".to_owned(), 0, 0.5), ("c".to_owned(), 1, 0.75)],
        };
        assert!(a.beat(&busy).await.unwrap());
        // Nobody is forgotten who was seen within the last hour of the store's clock.
        b.forget_workers().await.unwrap();
        let all = b.workers().await.unwrap();
        let ids: Vec<&str> = all.iter().map(|worker| &*worker.id).collect();
        assert_eq!(ids, ["a:1", "b:1"]);
        assert_eq!((&all[0].busy, &all[1].busy), (&Some(busy), &None));
        for worker in &all {
            assert!((0..60_000).contains(&worker.unseen_ms), "{worker:?}");
            assert!(worker.seen_ms >= worker.started_ms, "{worker:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_store_refuses_another_group_and_a_worker_that_wants_it_alone() {
    for url in urls().await {
        let first = Store::open(&options(&url, "a:1", "g")).await.unwrap();
        let text = |refused: Result<Store, connector_api::Error>| match refused {
            Ok(_) => panic!("the store was opened"),
            Err(error) => error.to_string(),
        };
        let other = text(Store::open(&options(&url, "b:1", "h")).await);
        assert!(
            other.contains("group.id=g") && other.contains("group.id=h"),
            "{other}"
        );
        let alone = StoreOptions {
            member: None,
            ..options(&url, "b:1", "g")
        };
        let alone = text(Store::open(&alone).await);
        assert!(alone.contains("rowferry.store.shared"), "{alone}");
        first.close().await;
    }
    let file = format!("sqlite:{}", lab().scratch().path().join("x.db").display());
    let refused = Store::open(&options(&file, "a:1", "g"))
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().contains("MariaDB, MySQL or PostgreSQL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_start_at_once_on_an_empty_store_create_its_tables_once() {
    for url in urls().await {
        let open = |id: &'static str| {
            let options = options(&url, id, "g");
            async move { Store::open(&options).await }
        };
        let (a, b, c) = tokio::join!(open("a:1"), open("b:1"), open("c:1"));
        let store = a.unwrap();
        b.unwrap();
        c.unwrap();
        assert_eq!(store.workers().await.unwrap().len(), 3);
        assert_eq!(store.slot_count().await.unwrap(), 8);
    }
}
