//! A connection whose errors quote nothing of the statements it sends, for queries that must not be
//! shown.
//!
//! Servers quote fragments of a statement that they refuse, and name result columns after
//! expressions. Only the server's codes and our own words remain in an error.

use std::sync::Arc;

use async_trait::async_trait;
use connector_api::{Error, Result, Value};
use tokio::sync::mpsc;

use super::{ConnectionId, CopyRows, ResultPage, RowLayout, Session, SqlParam, failure};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::ident::TableId;

/// The wrapped connection.
pub(crate) struct SharedConnection(Box<dyn Session>);

impl SharedConnection {
    /// Wraps a connection.
    pub(crate) fn new(session: Box<dyn Session>) -> Self {
        Self(session)
    }
}

/// Reduces an error to its kind and codes.
fn without_server_text(error: Error) -> Error {
    Error::new(error.kind(), failure::without_text(error.message())).of_class(error.class())
}

/// Reduces an error about a result's columns in the same way.
fn without_column_names(error: Error, layout: &RowLayout) -> Error {
    let mut text = error.message().to_owned();
    for column in &layout.columns {
        text = text.replace(&format!("column {} ", column.name), "a column ");
    }
    without_server_text(Error::new(error.kind(), text).of_class(error.class()))
}

#[async_trait]
impl Session for SharedConnection {
    fn dialect(&self) -> &'static dyn Dialect {
        self.0.dialect()
    }

    fn server_version(&self) -> &str {
        self.0.server_version()
    }

    async fn run(&mut self, sql: &str) -> Result<u64> {
        self.0.run(sql).await.map_err(without_server_text)
    }

    async fn execute(&mut self, sql: &Arc<str>, params: &[SqlParam<'_>]) -> Result<u64> {
        self.0
            .execute(sql, params)
            .await
            .map_err(without_server_text)
    }

    fn executes_rows(&self) -> bool {
        self.0.executes_rows()
    }

    async fn execute_rows(
        &mut self,
        sql: &Arc<str>,
        width: usize,
        params: &[SqlParam<'_>],
    ) -> Result<Option<u64>> {
        let done = self.0.execute_rows(sql, width, params).await;
        done.map_err(without_server_text)
    }

    async fn copy(&mut self, sql: &str, rows: &mut dyn CopyRows) -> Result<u64> {
        self.0.copy(sql, rows).await.map_err(without_server_text)
    }

    async fn query(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>> {
        self.0.query(sql, params).await.map_err(without_server_text)
    }

    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>> {
        self.0.query_once(sql).await.map_err(without_server_text)
    }

    async fn read(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        max_weight: usize,
    ) -> Result<ResultPage> {
        self.0
            .read(sql, params, layout, max_weight)
            .await
            .map_err(|error| without_column_names(error, layout))
    }

    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        page_weight: usize,
        pages: &mpsc::Sender<ResultPage>,
    ) -> Result<()> {
        self.0
            .stream(sql, params, layout, page_weight, pages)
            .await
            .map_err(|error| without_column_names(error, layout))
    }

    async fn begin(&mut self) -> Result<()> {
        self.0.begin().await.map_err(without_server_text)
    }

    async fn commit(&mut self) -> Result<()> {
        self.0.commit().await.map_err(without_server_text)
    }

    async fn rollback(&mut self) -> Result<()> {
        self.0.rollback().await.map_err(without_server_text)
    }

    async fn table(&mut self, id: &TableId) -> Result<Option<TableMeta>> {
        self.0.table(id).await.map_err(without_server_text)
    }

    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>> {
        self.0.tables(filter).await.map_err(without_server_text)
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>> {
        self.0.describe(sql).await.map_err(without_server_text)
    }

    fn is_stale(&self) -> bool {
        self.0.is_stale()
    }

    fn needs_transaction(&self) -> bool {
        self.0.needs_transaction()
    }

    fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    fn connection_id(&self) -> Option<&ConnectionId> {
        self.0.connection_id()
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}
