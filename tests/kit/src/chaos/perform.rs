//! Makes the faults, one after the other and some at once, while the writers write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::{JoinSet, block_in_place};

use super::Plan;
use super::faults::{Fault, Server};
use super::field::Field;
use super::report::Report;
use super::writers::Load;
use crate::Random;
use crate::relay::{Relay, Trouble};

/// How long the worker may take to end after SIGTERM.
pub(super) const STOPS_WITHIN: Duration = Duration::from_secs(35);

/// Who has a fault at present: one at a time for the worker, each server, and each network.
#[derive(Default)]
struct Subjects {
    worker: Mutex<()>,
    servers: HashMap<Server, Mutex<()>>,
    networks: HashMap<Server, Mutex<()>>,
}

/// Makes all faults of the schedule; afterwards everything is as it should be.
pub(super) async fn perform(
    field: &Arc<Field>,
    plan: &Plan,
    schedule: Vec<Fault>,
    load: &Load,
    mut random: Random,
    say: fn(String),
) -> Report {
    let began = Instant::now();
    let mut subjects = Subjects::default();
    for server in Server::ALL {
        subjects.servers.insert(server, Mutex::new(()));
        subjects.networks.insert(server, Mutex::new(()));
    }
    let subjects = Arc::new(subjects);
    let all = schedule.len() as u64;
    let (mut report, mut at_once) = (Report::default(), JoinSet::new());
    for (n, fault) in (0..all).zip(schedule) {
        // Writers and faults go side by side: neither gets far ahead of the other.
        load.allow(plan.rows * (n + 2) / (all + 1));
        let pause = Duration::from_millis(random.below(plan.pause.as_millis() as u64 + 1));
        tokio::time::sleep(pause).await;
        let behind = Instant::now();
        while load.written() < plan.rows * n / (all + 1)
            && behind.elapsed() < Duration::from_secs(20)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let also =
            random.below(3) == 0 && !matches!(fault, Fault::KillWorker(_) | Fault::StopWorker);
        let with = if also { ", and more meanwhile" } else { "" };
        say(format!(
            "{:4} s  {:3} of {all}  {fault}{with}",
            began.elapsed().as_secs(),
            n + 1
        ));
        let making = make(Arc::clone(field), Arc::clone(&subjects), fault);
        if also {
            at_once.spawn(making);
        } else {
            report.fault(making.await);
        }
        while let Some(done) = at_once.try_join_next() {
            report.fault(done.expect("a fault that does not panic"));
        }
    }
    while let Some(done) = at_once.join_next().await {
        report.fault(done.expect("a fault that does not panic"));
    }
    say(format!(
        "{:4} s  all faults are over",
        began.elapsed().as_secs()
    ));
    report
}

/// A fault that was made: what came of it.
pub(super) struct Made {
    pub fault: Fault,
    /// How the worker ended after SIGTERM: its exit code, and how long it took.
    pub stopped: Option<(Option<i32>, Duration)>,
    /// An answer was lost, or the disk filled, as the fault wanted.
    pub happened: bool,
}

async fn make(field: Arc<Field>, subjects: Arc<Subjects>, fault: Fault) -> Made {
    let (mut stopped, mut happened) = (None, true);
    let worker = field.worker();
    match fault {
        Fault::KillWorker(down) => {
            let _one = subjects.worker.lock().await;
            worker.kill();
            tokio::time::sleep(down).await;
            block_in_place(|| worker.restart());
        }
        Fault::FreezeWorker(time) => {
            let _one = subjects.worker.lock().await;
            worker.freeze();
            tokio::time::sleep(time).await;
            worker.thaw();
        }
        Fault::StopWorker => {
            let _one = subjects.worker.lock().await;
            let began = Instant::now();
            let code = block_in_place(|| worker.try_stop(STOPS_WITHIN));
            stopped = Some((code.flatten(), began.elapsed()));
            block_in_place(|| worker.restart());
        }
        Fault::KillServer(server, down) => {
            let _one = subjects.servers[&server].lock().await;
            kill(&field, server);
            tokio::time::sleep(down).await;
            block_in_place(|| restart(&field, server));
        }
        Fault::RestartServer(server) => {
            let _one = subjects.servers[&server].lock().await;
            block_in_place(|| {
                stop(&field, server);
                restart(&field, server);
            });
        }
        Fault::StallServer(server, time) => {
            let _one = subjects.servers[&server].lock().await;
            freeze(&field, server);
            tokio::time::sleep(time).await;
            thaw(&field, server);
        }
        Fault::CutAll(server) | Fault::Network(server, ..) | Fault::LoseCommit(server, ..) => {
            let _one = subjects.networks[&server].lock().await;
            happened = trouble(field.relay(server), fault).await;
        }
        Fault::FillDisk(time) => {
            // A worker that is started without room would be another fault.
            let _one = subjects.worker.lock().await;
            let disk = field.disk().expect("a disk where the schedule names it");
            disk.fill(0);
            tokio::time::sleep(time).await;
            disk.free();
        }
    }
    Made {
        fault,
        stopped,
        happened,
    }
}

fn kill(field: &Field, server: Server) {
    match server {
        Server::Source => field.servers().source.kill(),
        Server::MariaDb => field.servers().mariadb.kill(),
        Server::Postgres => field.servers().postgres.kill(),
        Server::Broker => field.servers().kafka.kill(),
    }
}

/// Stops a database in good order; a broker has no other way to stop at once.
fn stop(field: &Field, server: Server) {
    match server {
        Server::Source => field.servers().source.stop(),
        Server::MariaDb => field.servers().mariadb.stop(),
        Server::Postgres => field.servers().postgres.stop(),
        Server::Broker => field.servers().kafka.kill(),
    }
}

fn freeze(field: &Field, server: Server) {
    match server {
        Server::Source => field.servers().source.freeze(),
        Server::MariaDb => field.servers().mariadb.freeze(),
        Server::Postgres => field.servers().postgres.freeze(),
        Server::Broker => field.servers().kafka.freeze(),
    }
}

fn thaw(field: &Field, server: Server) {
    match server {
        Server::Source => field.servers().source.thaw(),
        Server::MariaDb => field.servers().mariadb.thaw(),
        Server::Postgres => field.servers().postgres.thaw(),
        Server::Broker => field.servers().kafka.thaw(),
    }
}

fn restart(field: &Field, server: Server) {
    match server {
        Server::Source => field.servers().source.restart(),
        Server::MariaDb => field.servers().mariadb.restart(),
        Server::Postgres => field.servers().postgres.restart(),
        Server::Broker => field.servers().kafka.restart(),
    }
}

/// Disturbs a network and ends the disturbance; returns whether it had the wanted effect.
async fn trouble(relay: &Relay, fault: Fault) -> bool {
    match fault {
        Fault::Network(_, trouble, time) => {
            relay.set(trouble);
            tokio::time::sleep(time).await;
            relay.set(Trouble::None);
            true
        }
        Fault::LoseCommit(_, nth, silent, time) => {
            let (before, began) = (relay.answers_lost(), Instant::now());
            relay.lose_answer("COMMIT", usize::from(nth), silent);
            while relay.answers_lost() == before && began.elapsed() < time {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            relay.lose_no_answer();
            relay.answers_lost() > before
        }
        _ => {
            relay.cut();
            true
        }
    }
}
