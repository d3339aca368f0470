//! Random rows of random types through source and sink between every two of MariaDB, PostgreSQL and SQLite: what arrives
//! is what was there, according to SQL on both sides.
//!
//! `docs/databases.md` lists what is lost on purpose; nothing of that is made here.

mod database;
mod values;

use serde_json::json;
use testkit::{Random, unique};

use self::database::Database;
use self::values::{Column, Kind};
use crate::{SOON, lab};

const ROWS: usize = 60;

#[tokio::test]
async fn random_rows_are_the_same_on_all_nine_pairs() {
    let mut random = Random::new();
    let worker = lab().worker();
    let name = unique("differential");
    let mut targets = Database::all(&format!("{name}_target")).await;
    let mut differing = Vec::new();
    for mut source in Database::all(&name).await {
        let columns = columns(&mut random, &source);
        source.run(&source.create_table("t", &columns)).await;
        for id in 1..=ROWS {
            let values: Vec<_> = columns
                .iter()
                .map(|c| c.literal(&mut random, source.flavour()))
                .collect();
            source
                .run(&format!("INSERT INTO t VALUES ({id},{})", values.join(",")))
                .await;
        }
        let prefix = format!("{name}_{}-", source.name());
        let topic = format!("{prefix}t");
        let config = json!({"connector.class": "JdbcSourceConnector", "mode": "incrementing",
            "incrementing.column.name": "id", "table.whitelist": "t", "topic.prefix": prefix, "poll.interval.ms": "500"});
        worker
            .rest()
            .create(&format!("{prefix}source"), &source.with_connection(config))
            .await;
        for target in &targets {
            let config = json!({"connector.class": "JdbcSinkConnector", "topics": topic, "insert.mode": "upsert",
                "pk.mode": "record_key", "pk.fields": "id"});
            worker
                .rest()
                .create(
                    &format!("{prefix}to-{}", target.name()),
                    &target.with_connection(config),
                )
                .await;
        }
        let wanted = source.rows("t", &columns).await;
        assert_eq!(wanted.len(), ROWS);
        for target in &mut targets {
            let what = format!("{topic} in {}", target.name());
            testkit::for_condition(&what, SOON, async || {
                target.count(&topic).await == ROWS as i64
            })
            .await;
            let seen = target.rows(&topic, &columns).await;
            differing.extend(
                differences(&columns, &wanted, &seen)
                    .into_iter()
                    .map(|d| format!("{what}: {d}")),
            );
        }
        for connector in ["source", "to-mariadb", "to-postgres", "to-sqlite"] {
            worker.rest().remove(&format!("{prefix}{connector}")).await;
        }
    }
    assert!(
        differing.is_empty(),
        "{} values differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

/// A column of every kind, and some more.
fn columns(random: &mut Random, source: &Database) -> Vec<Column> {
    let mut kinds = Kind::ALL.to_vec();
    kinds.extend((0..4).map(|_| *random.pick(Kind::ALL)));
    kinds
        .into_iter()
        .enumerate()
        .map(|(n, kind)| Column::new(random, n, kind, source.flavour()))
        .collect()
}

fn differences(columns: &[Column], wanted: &[Vec<String>], seen: &[Vec<String>]) -> Vec<String> {
    let mut out = Vec::new();
    for (row, (wanted, seen)) in wanted.iter().zip(seen).enumerate() {
        for (n, (wanted, seen)) in wanted
            .iter()
            .zip(seen)
            .enumerate()
            .filter(|(_, (w, s))| w != s)
        {
            out.push(format!(
                "row {} {:?}: {wanted} became {seen}",
                row + 1,
                columns[n]
            ));
        }
    }
    out
}
