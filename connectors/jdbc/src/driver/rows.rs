//! Decodes the rows of a result into values, for every database.

#![expect(clippy::indexing_slicing, reason = "the layout lists its own columns")]

use connector_api::{Error, ErrorKind, Result, Value};
use sqlx::query::Query;
use sqlx::{Column, Executor, Row};
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;

use super::backend::DatabaseBackend;
use super::session::SqlxSession;
use super::{ResultPage, RowLayout};
use crate::dialect::read::ReadColumn;

/// Overhead of a value beside its bytes.
const VALUE_WEIGHT: usize = size_of::<Value>();

/// Overhead of an allocation beside its bytes.
const ALLOCATION: usize = 32;

/// Most bytes of a small result: enough for the names of more than a hundred thousand tables.
const SMALL_RESULT: usize = 48 << 20;

/// Reads a small result, see [`super::Session::query`].
pub(super) async fn small_result<DB: DatabaseBackend>(
    session: &mut SqlxSession<DB>,
    query: Query<'_, DB, DB::Arguments>,
) -> Result<Vec<Vec<Value>>>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut out = Vec::new();
    let mut weight = 0;
    let mut rows = session.connection.fetch(query);
    let failure = loop {
        match session.watchdog.next(&mut rows).await {
            Ok(Some(row)) => {
                let values = (0..row.len())
                    .map(|n| DB::small_value(&row, n))
                    .collect::<Result<Vec<_>>>()?;
                weight += 2 * size_of::<Vec<Value>>()
                    + ALLOCATION
                    + values.iter().map(weight_of).sum::<usize>();
                if weight > SMALL_RESULT {
                    drop(rows);
                    return Err(session.response_too_large(SMALL_RESULT));
                }
                out.push(values);
            }
            Ok(None) => return Ok(out),
            Err(error) => break error,
        }
        // a server that always has more to send would otherwise starve other tasks
        consume_budget().await;
    };
    drop(rows);
    Err(session.ended(failure))
}

/// Returns the weight of a value of a small result.
fn weight_of(value: &Value) -> usize {
    VALUE_WEIGHT
        + match value {
            Value::Text(text) => text.len() + ALLOCATION,
            Value::Bytes(bytes) => bytes.len() + ALLOCATION,
            _ => 0,
        }
}

/// Reads one page of rows, see [`super::Session::read`].
pub(super) async fn read<DB: DatabaseBackend>(
    session: &mut SqlxSession<DB>,
    query: Query<'_, DB, DB::Arguments>,
    layout: &RowLayout,
    max_weight: usize,
) -> Result<ResultPage>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    collect(session, query, layout, max_weight, None).await
}

/// Sends all rows page by page, see [`super::Session::stream`].
pub(super) async fn stream<DB: DatabaseBackend>(
    session: &mut SqlxSession<DB>,
    query: Query<'_, DB, DB::Arguments>,
    layout: &RowLayout,
    page_weight: usize,
    pages: &mpsc::Sender<ResultPage>,
) -> Result<()>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let last = collect(session, query, layout, page_weight, Some(pages)).await?;
    // if the receiver is gone, nobody needs the page
    drop(pages.send(last).await);
    Ok(())
}

/// Collects rows until they weigh more than `max_weight`. Then sends them to `pages` and goes on
/// with the next page; without `pages`, ends if there is another row. Returns the last page.
async fn collect<DB: DatabaseBackend>(
    session: &mut SqlxSession<DB>,
    query: Query<'_, DB, DB::Arguments>,
    layout: &RowLayout,
    max_weight: usize,
    pages: Option<&mpsc::Sender<ResultPage>>,
) -> Result<ResultPage>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut page = ResultPage::default();
    let mut decoder = RowDecoder::<DB> {
        layout,
        formats: Vec::new(),
    };
    let mut rows = session.connection.fetch(query);
    let failure = loop {
        match session.watchdog.next(&mut rows).await {
            Ok(Some(_)) if page.weight > max_weight => {
                page.cut = true;
                return Ok(page);
            }
            Ok(Some(row)) => {
                if let Err(error) = decoder.push(&row, &mut page) {
                    drop(rows);
                    session.stale |= error.kind() == ErrorKind::Retry;
                    return Err(error);
                }
            }
            Ok(None) => return Ok(page),
            Err(error) => break error,
        }
        consume_budget().await;
        if let Some(pages) = pages
            && page.weight > max_weight
            && pages.send(std::mem::take(&mut page)).await.is_err()
        {
            return Ok(page);
        }
    };
    drop(rows);
    Err(session.ended(failure))
}

/// Decodes rows of one result; the encoding of each column is looked up once.
struct RowDecoder<'a, DB: DatabaseBackend> {
    layout: &'a RowLayout,
    formats: Vec<DB::ColumnFormat>,
}

impl<DB: DatabaseBackend> RowDecoder<'_, DB> {
    fn push(&mut self, row: &DB::Row, page: &mut ResultPage) -> Result<()> {
        if self.formats.is_empty() {
            let by_position = self.layout.by_position;
            let columns = || row.columns().iter().zip(&self.layout.columns);
            let fits = |(column, read): (&DB::Column, &ReadColumn)| {
                (!by_position || column.name() == &*read.name)
                    && (read.select != ("", "") || DB::fits(column, read))
            };
            if row.len() != self.layout.columns.len() || !columns().all(fits) {
                return Err(Error::retry(
                    "the columns of the result are not those of the table when its definition was \
                     read",
                ));
            }
            self.formats = columns()
                .map(|(column, read)| DB::column_format(column, read))
                .collect();
        }
        let mut values = Vec::with_capacity(self.formats.len());
        page.weight += self.formats.len() * VALUE_WEIGHT;
        for (index, (read, format)) in self.layout.columns.iter().zip(&self.formats).enumerate() {
            let (value, bytes) = DB::value(row, index, read, *format)?;
            page.weight += bytes;
            values.push(value);
        }
        if !self.layout.timestamps.is_empty() {
            page.timestamps.push(self.timestamp(row)?);
        }
        page.rows.push(values.into_boxed_slice());
        Ok(())
    }

    /// Returns the row's timestamp. Rows without one are not selected; if one appeared, it would
    /// count as the oldest.
    fn timestamp(&self, row: &DB::Row) -> Result<i64> {
        for index in &self.layout.timestamps {
            if let Some(micros) = DB::timestamp(row, *index, &self.layout.columns[*index])? {
                return Ok(micros);
            }
        }
        Ok(i64::MIN)
    }
}
