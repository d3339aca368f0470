//! Rows of MariaDB and MySQL into values, straight from the protocol's bytes.

use std::sync::Arc;

use connector_api::{Error, Result, Type, Value};
use futures_util::TryStreamExt;
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Column, Executor, Row, TypeInfo};
use tokio::sync::mpsc;

use super::mysql::{MySqlSession, arguments, raw};
use super::{Layout, Page, Param};
use crate::dialect::mysql::decode::{self, Wire};
use crate::dialect::read::Read;

/// What a value costs beside its bytes.
const VALUE_WEIGHT: usize = size_of::<Value>();

/// See [`super::Session::read`].
pub(super) async fn read(
    session: &mut MySqlSession,
    sql: &Arc<str>,
    params: &[Param<'_>],
    layout: &Layout,
    max_weight: usize,
) -> Result<Page> {
    let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
    let mut page = Page::default();
    let mut decoder = Decoder { layout, wires: Vec::new() };
    let mut rows = session.connection.fetch(query);
    let failure = loop {
        match rows.try_next().await {
            Ok(Some(row)) if page.weight > max_weight => {
                drop(row);
                page.cut = true;
                return Ok(page);
            }
            Ok(Some(row)) => decoder.push(&row, &mut page)?,
            Ok(None) => return Ok(page),
            Err(error) => break error,
        }
    };
    drop(rows);
    Err(session.failed(failure))
}

/// See [`super::Session::stream`].
pub(super) async fn stream(
    session: &mut MySqlSession,
    sql: &Arc<str>,
    params: &[Param<'_>],
    layout: &Layout,
    page_weight: usize,
    pages: &mpsc::Sender<Page>,
) -> Result<()> {
    let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
    let mut page = Page::default();
    let mut decoder = Decoder { layout, wires: Vec::new() };
    let mut rows = session.connection.fetch(query);
    let failure = loop {
        match rows.try_next().await {
            Ok(Some(row)) => decoder.push(&row, &mut page)?,
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

/// Reads rows of one result: what each column comes as is looked up once.
struct Decoder<'a> {
    layout: &'a Layout,
    wires: Vec<Wire>,
}

impl Decoder<'_> {
    fn push(&mut self, row: &MySqlRow, page: &mut Page) -> Result<()> {
        if self.wires.is_empty() {
            if row.len() != self.layout.columns.len() {
                return Err(Error::retry("the result has other columns than the table had a moment ago"));
            }
            let columns = row.columns().iter().zip(&self.layout.columns);
            self.wires = columns.map(|(c, read)| wire(c.type_info().name(), &read.read)).collect();
        }
        let mut values = Vec::with_capacity(self.wires.len());
        page.weight += self.wires.len() * VALUE_WEIGHT;
        for (index, (column, wire)) in self.layout.columns.iter().zip(&self.wires).enumerate() {
            values.push(match raw(row, index)? {
                Some(bytes) => {
                    page.weight += bytes.len();
                    decode::value(column, *wire, bytes)?
                }
                None => Value::Null,
            });
        }
        if !self.layout.stamps.is_empty() {
            page.stamps.push(self.stamp(row)?);
        }
        page.rows.push(values.into_boxed_slice());
        Ok(())
    }

    /// The row's stamp. Rows without one are not selected; were one here, it would be the oldest.
    fn stamp(&self, row: &MySqlRow) -> Result<i64> {
        for index in &self.layout.stamps {
            if let Some(micros) = raw(row, *index)?.and_then(decode::cursor_micros) {
                return Ok(micros);
            }
        }
        Ok(i64::MIN)
    }
}

/// In what form a column of that type comes in the binary protocol, by sqlx's type name.
fn wire(name: &str, read: &Read) -> Wire {
    match name {
        "YEAR" => Wire::UnsignedInt,
        // a TINYINT of display width 1, whose sign sqlx's name does not tell: unsigned ones are read as INT16
        "BOOLEAN" if *read == Read::Int(Type::Int16) => Wire::UnsignedInt,
        "BOOLEAN" => Wire::Int,
        "FLOAT" => Wire::F32,
        "DOUBLE" => Wire::F64,
        "DATE" => Wire::Date,
        "DATETIME" | "TIMESTAMP" => Wire::DateTime,
        "TIME" => Wire::Time,
        name if name.ends_with("INT UNSIGNED") => Wire::UnsignedInt,
        name if name.ends_with("INT") => Wire::Int,
        _ => Wire::Bytes,
    }
}
