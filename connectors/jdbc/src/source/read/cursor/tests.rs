//! Tests of reading one table: when its definition is looked up.

use std::sync::Arc;

use connector_api::{Config, Value};
use tokio::sync::mpsc;

use super::TableReader;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::driver::ResultPage;
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::read::page::{PageSender, ReadOutcome, ReaderOutput};
use crate::source::tables::assignments::TableAssignment;
use crate::source::visibility::scripted_session::{ScriptedAnswer, ScriptedSession};
use crate::url::DatabaseKind;

/// `d.t` with columns of type INT; the first is the key.
fn table(columns: &[&str]) -> TableMeta {
    let column = |(n, name): (usize, &&str)| ColumnMeta {
        name: (*name).to_owned(),
        data_type: "int".to_owned(),
        column_type: "int".to_owned(),
        key_position: (n == 0).then_some(0),
        ..ColumnMeta::default()
    };
    let columns = columns.iter().enumerate().map(column).collect();
    TableMeta::of_columns(TableId::in_catalog("d", "t"), columns)
}

fn page(row: Option<&[i32]>) -> ScriptedAnswer {
    let values = |row: &[i32]| row.iter().map(|n| Value::I32(*n)).collect();
    ScriptedAnswer::Page(ResultPage {
        rows: row.map(values).into_iter().collect(),
        ..ResultPage::default()
    })
}

#[tokio::test]
async fn an_idle_table_is_not_looked_up_at_each_poll_and_its_rows_have_the_columns_of_their_time() {
    let config = SourceConfig::read(&Config::from([
        ("connection.url", "jdbc:mariadb://127.0.0.1:1/d"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("gap.tracking", "off"),
    ]));
    let entry = TableAssignment::whole(Some(table(&["id"]).id), None);
    let mut reader = TableReader::new(entry, Arc::new(config.unwrap()));
    let mut session = ScriptedSession::new(
        DatabaseKind::MySql,
        [
            ("SELECT `id` FROM", page(None)),
            ("SELECT `id` FROM", page(None)),
            ("SELECT `id` FROM", page(Some(&[1]))),
            ("SELECT `id`,`added` FROM", page(Some(&[1, 5]))),
        ],
    )
    .with_table(table(&["id"]));
    let (sender, mut output) = mpsc::channel(8);
    let pages = PageSender {
        table: 0,
        sender: &sender,
    };
    let mut outcomes = Vec::new();
    for turn in 0..5 {
        if turn == 3 {
            assert_eq!(session.look_ups, 1);
            session = session.with_table(table(&["id", "added"]));
        }
        outcomes.push(reader.turn(&mut session, &pages).await.outcome.unwrap());
    }
    let (again, done) = (ReadOutcome::More, ReadOutcome::CaughtUp);
    assert_eq!(outcomes, [again, done, done, again, done]);
    drop(sender);
    let mut rows = Vec::new();
    while let Some((_, ReaderOutput::Rows(page))) = output.recv().await {
        rows.extend(page.page.rows);
    }
    assert_eq!(rows, [[Value::I32(1), Value::I32(5)].into()]);
}
