//! Rows of PostgreSQL into values, straight from the protocol's bytes.

use std::sync::Arc;

use connector_api::{Error, Result, Value};
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::sync::mpsc;

use super::postgres::{PostgresSession, arguments, raw};
use super::{Layout, Page, Param};
use crate::dialect::postgres::decode;

/// What a value costs beside its bytes.
const VALUE_WEIGHT: usize = size_of::<Value>();

/// See [`super::Session::read`].
pub(super) async fn read(
    session: &mut PostgresSession,
    sql: &Arc<str>,
    params: &[Param<'_>],
    layout: &Layout,
    max_weight: usize,
) -> Result<Page> {
    let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
    let mut page = Page::default();
    let mut rows = session.connection.fetch(query);
    let failure = loop {
        match rows.try_next().await {
            Ok(Some(_)) if page.weight > max_weight => {
                page.cut = true;
                return Ok(page);
            }
            Ok(Some(row)) => push(&row, layout, &mut page)?,
            Ok(None) => return Ok(page),
            Err(error) => break error,
        }
    };
    drop(rows);
    Err(session.failed(failure))
}

/// See [`super::Session::stream`].
pub(super) async fn stream(
    session: &mut PostgresSession,
    sql: &Arc<str>,
    params: &[Param<'_>],
    layout: &Layout,
    page_weight: usize,
    pages: &mpsc::Sender<Page>,
) -> Result<()> {
    let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
    let mut page = Page::default();
    let mut rows = session.connection.fetch(query);
    let failure = loop {
        match rows.try_next().await {
            Ok(Some(row)) => push(&row, layout, &mut page)?,
            Ok(None) => {
                // a receiver that is gone wants nothing more
                let _ = pages.send(page).await;
                return Ok(());
            }
            Err(error) => break error,
        }
        if page.weight > page_weight && pages.send(std::mem::take(&mut page)).await.is_err() {
            return Ok(());
        }
    };
    drop(rows);
    Err(session.failed(failure))
}

fn push(row: &PgRow, layout: &Layout, page: &mut Page) -> Result<()> {
    if row.len() != layout.columns.len() {
        return Err(Error::retry("the result has other columns than the table had a moment ago"));
    }
    let mut values = Vec::with_capacity(layout.columns.len());
    page.weight += layout.columns.len() * VALUE_WEIGHT;
    for (index, column) in layout.columns.iter().enumerate() {
        values.push(match raw(row, index)? {
            Some(bytes) => {
                page.weight += bytes.len();
                decode::value(column, bytes)?
            }
            None => Value::Null,
        });
    }
    if !layout.stamps.is_empty() {
        let mut stamp = i64::MIN;
        for index in &layout.stamps {
            if let Some(micros) = raw(row, *index)?.and_then(decode::cursor_micros) {
                stamp = micros;
                break;
            }
        }
        page.stamps.push(stamp);
    }
    page.rows.push(values.into_boxed_slice());
    Ok(())
}
