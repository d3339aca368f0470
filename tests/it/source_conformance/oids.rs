//! PostgreSQL's oid as the column of a mode and as a key: 32 bits without a sign, which no operator compares with an
//! integer.

use super::compared::probed;
use super::fixture::{Fixture, Server, member};

const TABLE: &str =
    "CREATE TABLE test (id OID NOT NULL PRIMARY KEY, at {stamp} NOT NULL DEFAULT '2024-01-01')";
const IDS: [&str; 5] = ["0", "1", "2147483647", "2147483648", "4294967294"];
const LAST: &str = "4294967295";

fn rows(ids: &[&str]) -> String {
    format!("INSERT INTO test VALUES ({})", ids.join("), ("))
}

const ID: (&str, &str) = ("incrementing.column.name", "id");
const AT: (&str, &str) = ("timestamp.column.name", "at");
const PAGES: (&str, &str) = ("batch.max.rows", "2");

#[tokio::test]
async fn an_oid_counts_rows_up_to_its_end() {
    let query = ("query", "SELECT * FROM test");
    for keys in [
        &[("mode", "incrementing"), ID, PAGES][..],
        &[("mode", "incrementing"), ID, query],
        &[("mode", "timestamp+incrementing"), AT, ID, PAGES],
    ] {
        let mut fixture = Fixture::new(Server::Postgres, keys).await;
        fixture.sql(TABLE).await;
        fixture.sql(&rows(&IDS)).await;
        assert_eq!(probed(&fixture).await, (vec![], vec![]), "{keys:?}");
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 5).await, IDS, "{keys:?}");
        fixture.sql(&rows(&[LAST])).await;
        assert_eq!(
            fixture.column(&mut *task, "id", 1).await,
            [LAST],
            "{keys:?}"
        );
        fixture.nothing_more(&mut *task).await;
        task.close().await;
        let mut again = fixture.open().await;
        fixture.nothing_more(&mut *again).await;
        again.close().await;
    }
}

#[tokio::test]
async fn a_key_that_is_an_oid_orders_pages_and_finds_deleted_rows() {
    for keys in [
        &[("mode", "bulk"), ("poll.interval.ms", "600000"), PAGES][..],
        &[("mode", "timestamp"), AT, PAGES],
        &[
            ("mode", "timestamp"),
            AT,
            PAGES,
            ("delete.capture", "key_sweep"),
            ("key.mode", "primary_key"),
            ("delete.capture.interval.ms", "200"),
        ],
        &[
            ("mode", "incrementing"),
            ID,
            PAGES,
            ("delete.capture", "key_sweep"),
            ("key.mode", "primary_key"),
            ("delete.capture.interval.ms", "200"),
        ],
    ] {
        let mut fixture = Fixture::new(Server::Postgres, keys).await;
        fixture.sql(TABLE).await;
        fixture.sql(&rows(&IDS)).await;
        fixture.sql(&rows(&[LAST])).await;
        assert_eq!(probed(&fixture).await, (vec![], vec![]), "{keys:?}");
        let mut task = fixture.open().await;
        let all = [&IDS[..], &[LAST]].concat();
        assert_eq!(fixture.column(&mut *task, "id", 6).await, all, "{keys:?}");
        if keys.iter().any(|(key, _)| *key == "delete.capture") {
            fixture
                .sql("DELETE FROM test WHERE id IN ('0', '2147483648', '4294967295')")
                .await;
            let gone = fixture.read(&mut *task, 3).await;
            assert!(
                gone.iter().all(|record| record.value.value.is_null()),
                "{gone:?}"
            );
        }
        fixture.nothing_more(&mut *task).await;
        task.close().await;
    }
}

#[tokio::test]
async fn a_time_in_an_oid_is_refused_with_the_mode_that_reads_it() {
    let mut fixture = Fixture::new(
        Server::Postgres,
        &[("mode", "timestamp"), ("timestamp.column.name", "id")],
    )
    .await;
    fixture.sql(TABLE).await;
    fixture.sql(&rows(&IDS)).await;
    let (errors, _) = probed(&fixture).await;
    assert!(
        errors.len() == 1
            && errors[0].contains("mode=incrementing with incrementing.column.name=id"),
        "{errors:?}"
    );
    fixture.set(&[("mode", "incrementing"), ID]);
    let mut task = fixture.open().await;
    let records = fixture.read(&mut *task, 5).await;
    assert_eq!(super::fixture::shown(member(&records[4], "id")), IDS[4]);
    task.close().await;
}
