//! Faults of the metadata store at every place where it can have one: what was acknowledged is kept, what was refused is not
//! there, in the running worker and after `kill -9`.

mod change;
mod outages;

use std::time::Duration;

use testkit::proxy::{Cut, Proxy};
use testkit::{MariaDb, Postgres, Rowferry, Settings, SmallDisk, for_condition, unique};

use crate::{SOON, lab};
use change::{Change, Known, Outcome, config};

/// The changes that a fault is put into.
const CHANGES: [fn(&str) -> Change; 4] = [
    |n| Change::Create(n.to_owned()),
    |n| Change::Put(n.to_owned()),
    |n| Change::Toggle(n.to_owned()),
    |n| Change::Delete(n.to_owned()),
];

/// A worker, and what it must know.
struct World {
    worker: Rowferry,
    known: Known,
    folder: String,
    number: usize,
}

impl World {
    fn new(name: &str, keys: &[(&str, &str)]) -> Self {
        let name = unique(name);
        let mut settings = Settings::serve(&name, lab().kafka().brokers());
        for (key, value) in keys {
            settings = settings.with(key, value);
        }
        let folder = lab()
            .scratch()
            .path()
            .join(&name)
            .join("rowferry-data")
            .display()
            .to_string();
        let worker = Rowferry::start(lab().scratch(), settings);
        Self {
            worker,
            known: Known::default(),
            folder,
            number: 0,
        }
    }

    /// A change of that kind to a connector that is there, unless it is to be created.
    async fn next(&mut self, kind: fn(&str) -> Change) -> Change {
        self.number += 1;
        let change = kind(&format!("c{}", self.number));
        if !matches!(change, Change::Create(_)) {
            let create = Change::Create(change.name().to_owned());
            assert_eq!(
                self.make(&create).await,
                Outcome::Acknowledged,
                "without a fault"
            );
            self.quiet().await;
        }
        change
    }

    async fn make(&mut self, change: &Change) -> Outcome {
        self.known
            .make(
                self.worker.rest(),
                change,
                &config(&self.folder, self.number),
            )
            .await
    }

    /// Waits until nothing is left to be stored.
    async fn quiet(&self) {
        self.known.wait_states(self.worker.rest()).await;
    }

    /// What is known is what is there, now and after `kill -9`.
    async fn verify(&mut self, what: &str) {
        if self.worker.is_running() {
            self.known.verify(self.worker.rest(), what).await;
            self.worker.kill();
        }
        self.worker.restart();
        self.known
            .verify(self.worker.rest(), &format!("{what}, started again"))
            .await;
        self.quiet().await;
    }
}

/// An error at each statement, before and after it, and at each commit.
async fn faults_at_every_point(mut world: World) {
    for kind in CHANGES {
        let mut refused = 0;
        for point in ["store.before-statement", "store.after-statement"] {
            let (mut statement, mut untouched) = (0, 0);
            // What tasks tell is stored too and may draw the fault upon itself, so one success is not yet the end.
            while untouched < 2 {
                let change = world.next(kind).await;
                world
                    .worker
                    .fail_at(point, &format!("{statement}*off->1*return(fatal)"));
                let outcome = world.make(&change).await;
                world.worker.go_on_at(point);
                match outcome {
                    Outcome::Acknowledged => untouched += 1,
                    Outcome::Refused => refused += 1,
                    other => panic!("{change:?} at {point} {statement}: {other:?}"),
                }
                world
                    .verify(&format!("{change:?}, an error at {point} {statement}"))
                    .await;
                statement += 1;
            }
        }
        assert!(refused >= 3, "{refused} errors met {:?}", kind("a change"));
        for (point, word, expected) in [
            ("store.before-commit", "fatal", Outcome::Refused),
            // What is surely not there is tried again.
            (
                "store.before-commit",
                "the server is gone",
                Outcome::Acknowledged,
            ),
            ("store.before-commit", "abort", Outcome::Unanswered),
            // The commit has happened: that is found by reading.
            ("store.after-commit", "fatal", Outcome::Acknowledged),
            ("store.after-commit", "abort", Outcome::Unanswered),
        ] {
            let change = world.next(kind).await;
            world.worker.fail_at(point, &format!("1*return({word})"));
            let outcome = world.make(&change).await;
            if outcome == Outcome::Unanswered {
                for_condition("the end of the worker", SOON, async || {
                    !world.worker.is_running()
                })
                .await;
            }
            world.worker.go_on_at(point);
            assert_eq!(outcome, expected, "{change:?} at {point} ({word})");
            world
                .verify(&format!("{change:?}, {word} at {point}"))
                .await;
        }
    }
    assert_eq!(world.worker.stop(SOON), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_statement_or_commit_loses_and_invents_nothing_in_sqlite() {
    faults_at_every_point(World::new("faults-sqlite", &[])).await;
}

async fn mariadb_url(port: u16) -> String {
    let database = unique("faults");
    lab().mariadb().create_database(&database).await;
    format!(
        "mysql://{}:{}@127.0.0.1:{port}/{database}",
        MariaDb::USER,
        MariaDb::PASSWORD
    )
}

async fn postgres_url(port: u16) -> String {
    let database = unique("faults");
    lab().postgres().create_database(&database).await;
    format!(
        "postgres://{}:{}@127.0.0.1:{port}/{database}",
        Postgres::USER,
        Postgres::PASSWORD
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_statement_or_commit_loses_and_invents_nothing_in_mariadb() {
    let url = mariadb_url(lab().mariadb().port()).await;
    faults_at_every_point(World::new(
        "faults-mariadb",
        &[("rowferry.store.url", &url)],
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_statement_or_commit_loses_and_invents_nothing_in_postgresql() {
    let url = postgres_url(lab().postgres().port()).await;
    faults_at_every_point(World::new(
        "faults-postgres",
        &[("rowferry.store.url", &url)],
    ))
    .await;
}

/// The line to the server is cut at every step of the conversation, before a request arrives and before its answer does.
async fn cuts_at_every_step(mut world: World, proxy: &Proxy) {
    for kind in CHANGES {
        let mut cuts = 0;
        for cut in [Cut::Request, Cut::Answer] {
            for step in 1.. {
                let change = world.next(kind).await;
                proxy.arm(step, cut);
                let outcome = world.make(&change).await;
                if proxy.is_armed() {
                    proxy.arm(usize::MAX, cut);
                    break;
                }
                cuts += 1;
                // A connection that was cut is opened again.
                assert_eq!(
                    outcome,
                    Outcome::Acknowledged,
                    "{change:?} with a cut at {step} {cut:?}"
                );
                world
                    .verify(&format!("{change:?}, {cut:?} {step} cut off"))
                    .await;
            }
        }
        assert!(cuts >= 8, "{cuts} cuts");
    }
    assert_eq!(world.worker.stop(SOON), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_mariadb_that_is_cut_at_any_step_loses_and_invents_nothing() {
    let proxy = Proxy::start(lab().mariadb().port()).await;
    let url = mariadb_url(proxy.port()).await;
    cuts_at_every_step(
        World::new("cuts-mariadb", &[("rowferry.store.url", &url)]),
        &proxy,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_postgresql_that_is_cut_at_any_step_loses_and_invents_nothing() {
    let proxy = Proxy::start(lab().postgres().port()).await;
    let url = postgres_url(proxy.port()).await;
    cuts_at_every_step(
        World::new("cuts-postgres", &[("rowferry.store.url", &url)]),
        &proxy,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_and_invents_nothing_wherever_it_meets_a_change() {
    let name = unique("faults-disk");
    let Some(disk) = SmallDisk::mount(lab().scratch(), &name, 16) else {
        return;
    };
    let folder = disk.path().join("data").display().to_string();
    let mut world = World::new("faults-full", &[("rowferry.data.dir", &folder)]);
    world.folder = folder;
    let (mut refused, mut acknowledged) = (0, 0);
    for pages in 0..12 {
        // Each try finds another place where the room ends.
        let mut changes = Vec::new();
        for kind in CHANGES {
            changes.push(world.next(kind).await);
        }
        disk.fill(pages * 4096);
        for change in &changes {
            match world
                .known
                .make(
                    world.worker.rest(),
                    change,
                    &change::large(&world.folder, world.number),
                )
                .await
            {
                Outcome::Acknowledged => acknowledged += 1,
                Outcome::Refused => refused += 1,
                other => panic!("{change:?} with {pages} pages left: {other:?}"),
            }
            world
                .known
                .verify(
                    world.worker.rest(),
                    &format!("{change:?} with {pages} pages left"),
                )
                .await;
        }
        disk.free();
        let after = world.next(CHANGES[0]).await;
        assert_eq!(
            world.make(&after).await,
            Outcome::Acknowledged,
            "there is room again"
        );
        for change in changes {
            world
                .known
                .make(world.worker.rest(), &change, &config(&world.folder, 0))
                .await;
        }
        world
            .verify(&format!("a disk with {pages} pages left"))
            .await;
    }
    assert!(
        refused >= 12 && acknowledged > 0,
        "{refused} refused, {acknowledged} acknowledged"
    );
    assert_eq!(world.worker.stop(Duration::from_secs(60)), Some(0));
}
