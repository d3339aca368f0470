//! `scripts/chaos`: random faults on servers of its own while rows are written, and a comparison of every row afterwards.
//!
//! Exits with 0 if nothing was lost, doubled or changed and every task moves, with 1 if not.

use std::process::ExitCode;
use std::time::Duration;

use testkit::Scratch;
use testkit::chaos::{Field, Plan, run};

const HELP: &str = "\
usage: scripts/chaos [options]
  --kills N      kill -9 the worker so often; the numbers of all other faults follow from it (50)
  --rows R       rows to insert, update and delete meanwhile (500000)
  --seed S       what the faults and the rows follow from (the clock)
  --stall        stall (kill -STOP) and kill the broker
  --db           kill, restart and stall the databases
  --cut          cut, hold up and slow down connections, and lose answers to COMMIT
  --disk         fill the disk of the metadata store (needs the right to mount)
  --writers N    writers of the source's tables (6)
  --pause S      longest pause between two faults, in seconds (6)
  --memory MIB   the most resident memory that the worker may have (600)
  --patience S   how long rows may not move, after all faults, before they count as lost (240)
Frozen and stopped workers are always part of it. Logs of worker and servers: target/kit-logs/chaos";

#[tokio::main(flavor = "multi_thread", worker_threads = 8)]
async fn main() -> ExitCode {
    let plan = plan();
    println!("chaos: --seed {}", plan.seed);
    let scratch = Scratch::new("chaos");
    let field = Field::on_own(&scratch, plan.seed, plan.disk).await;
    let report = run(field, &plan, |line| println!("{line}")).await;
    println!("{}", report.text());
    ExitCode::from(u8::from(!report.is_clean()))
}

fn plan() -> Plan {
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let mut plan = Plan::new(50, 500_000, u64::from(clock.subsec_nanos()));
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            args.next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or_else(|| usage())
        };
        match arg.as_str() {
            "--kills" => plan.kills = number(),
            "--rows" => plan.rows = number(),
            "--seed" => plan.seed = number(),
            "--writers" => plan.writers = number().max(1),
            "--pause" => plan.pause = Duration::from_secs(number()),
            "--memory" => plan.memory = number() << 20,
            "--patience" => plan.patience = Duration::from_secs(number()),
            "--stall" => plan.stall = true,
            "--db" => plan.database = true,
            "--cut" => plan.cut = true,
            "--disk" => plan.disk = true,
            _ => usage(),
        }
    }
    plan
}

fn usage() -> ! {
    println!("{HELP}");
    std::process::exit(2)
}
