//! The chaos driver: writers whose transactions overlap, faults in random order from a seed, and afterwards a comparison
//! of every row of source and targets, of the topics, and a look at whether every task still moves.
//!
//! Tables go from one MariaDB over Kafka into another MariaDB and into PostgreSQL. `scripts/chaos` runs it for as long as
//! you like, `tests/it/chaos.rs` a short form of it.

mod faults;
mod field;
mod perform;
mod report;
mod tables;
mod verdict;
mod writers;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use faults::Fault;
pub use field::{Field, Servers};
pub use report::Report;

use crate::Random;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often the worker is killed with `kill -9`. The numbers of all other faults follow from it.
    pub kills: u64,
    /// How many rows are inserted, updated and deleted at least.
    pub rows: u64,
    /// What all random choices follow from. How faults and writers meet is a matter of time besides.
    pub seed: u64,
    /// Brokers are stalled and killed.
    pub stall: bool,
    /// Databases are killed, restarted and made to hang.
    pub database: bool,
    /// Connections are cut, held up and slowed down, and answers to COMMIT are lost.
    pub cut: bool,
    /// The disk of the metadata store fills up.
    pub disk: bool,
    /// How many writers there are.
    pub writers: u64,
    /// The longest time that something is frozen.
    pub longest: Duration,
    /// The longest pause between two faults.
    pub pause: Duration,
    /// The most resident memory that the worker may ever have, in bytes.
    pub memory: u64,
    /// How long rows may not move, after all faults, before the run gives up waiting for them.
    pub patience: Duration,
}

impl Plan {
    /// Worker faults alone: so many kills, freezes and stops while so many rows are written.
    pub fn new(kills: u64, rows: u64, seed: u64) -> Self {
        Self {
            kills,
            rows,
            seed,
            stall: false,
            database: false,
            cut: false,
            disk: false,
            writers: 6,
            longest: Duration::from_secs(30),
            pause: Duration::from_secs(6),
            memory: 600 << 20,
            patience: Duration::from_secs(240),
        }
    }
}

/// Runs a plan: writes, makes faults, ends them, waits until nothing moves any more, and compares. `say` receives what
/// happens, line by line.
pub async fn run(field: Arc<Field>, plan: &Plan, say: fn(String)) -> Report {
    let began = Instant::now();
    let mut random = Random::from_seed(plan.seed);
    let schedule = faults::schedule(plan, &field.possible(), &mut random);
    field.set_up().await;
    say(format!(
        "seed {}: {} faults, {} rows and changes, {} writers",
        plan.seed,
        schedule.len(),
        plan.rows,
        plan.writers
    ));
    let load = writers::Load::start(&field, plan, &mut random);
    let watched = field.watch_memory();
    let mut report = perform::perform(&field, plan, schedule, &load, random, say).await;
    load.finish().await;
    say(format!(
        "{} rows and changes are written; waiting until all is quiet",
        load.written()
    ));
    report.written(&load);
    verdict::wait_until_quiet(&field, plan.patience, say).await;
    verdict::compare(&field, &load, &mut report).await;
    verdict::moves(&field, plan.patience, &mut report).await;
    report.memory(watched.peak(), plan.memory);
    report.log(&field.worker().log());
    report.end(plan, began.elapsed());
    report
}
