//! `scripts/lab`: the kit's servers, started by hand.
//!
//! Prints the addresses and waits for Ctrl-C, then stops all and removes their data.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::{Kafka, MariaDb, Postgres, Rowferry, Scratch, Settings};

const HELP: &str = "\
usage: scripts/lab [options] [KEY=VALUE ...]
  --mariadb-port N    --postgres-port N    --kafka-port N    --rest-port N    (default: free ones)
  --no-postgres       leave PostgreSQL out
  --no-rowferry       leave the worker out
KEY=VALUE are worker settings, such as offset.storage.topic=connect-offsets";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    let (mut without, mut keys) = (Vec::new(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if let Some(name) = arg
            .strip_prefix("--")
            .and_then(|arg| arg.strip_suffix("-port"))
        {
            let port = args
                .next()
                .and_then(|port| port.parse().ok())
                .unwrap_or_else(|| usage());
            ports.insert(name.to_owned(), port);
        } else if let Some(name) = arg.strip_prefix("--no-") {
            without.push(name.to_owned());
        } else if let Some((key, value)) = arg.split_once('=') {
            keys.push((key.to_owned(), value.to_owned()));
        } else {
            usage();
        }
    }
    run(&ports, &without, keys).await;
}

fn usage() -> ! {
    println!("{HELP}");
    std::process::exit(2)
}

async fn run(ports: &BTreeMap<String, u16>, without: &[String], keys: Vec<(String, String)>) {
    let scratch = Scratch::new("lab");
    let wanted = |name: &str| !without.iter().any(|left_out| left_out == name);
    let port = |name: &str| ports.get(name).copied();
    let mariadb = match port("mariadb") {
        Some(port) => MariaDb::start_on(&scratch, "mariadb", port),
        None => MariaDb::start(&scratch, "mariadb"),
    };
    println!(
        "mariadb    127.0.0.1:{}  user {}  password {}",
        mariadb.port(),
        MariaDb::USER,
        MariaDb::PASSWORD
    );
    let postgres = wanted("postgres").then(|| match port("postgres") {
        Some(port) => Postgres::start_on(&scratch, "postgres", port),
        None => Postgres::start(&scratch, "postgres"),
    });
    if let Some(postgres) = &postgres {
        println!(
            "postgres   127.0.0.1:{}  user {}  password {}",
            postgres.port(),
            Postgres::USER,
            Postgres::PASSWORD
        );
    }
    let kafka = match port("kafka") {
        Some(port) => Kafka::start_on(&scratch, "kafka", port),
        None => Kafka::start(&scratch, "kafka"),
    };
    println!("kafka      {}", kafka.brokers());
    let worker = wanted("rowferry").then(|| {
        let settings =
            Settings::serve("connect", kafka.brokers()).on_port(port("rest").unwrap_or(0));
        Rowferry::start(
            &scratch,
            keys.iter()
                .fold(settings, |settings, (key, value)| settings.with(key, value)),
        )
    });
    if let Some(worker) = &worker {
        println!(
            "rowferry   {}  pid {}  offsets topic connect-offsets",
            worker.rest().base(),
            worker.pid()
        );
    }
    println!(
        "data in {}, logs in target/kit-logs/lab; Ctrl-C stops all",
        scratch.path().display()
    );
    drop(tokio::signal::ctrl_c().await);
    if let Some(worker) = &worker {
        worker.stop(Duration::from_secs(40));
    }
}
