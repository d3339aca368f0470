//! A session for tests: each statement gets the next answer of a script.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::{Error, ErrorKind, Result, Value};
use tokio::sync::mpsc;

use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::{self, Dialect};
use crate::driver::{ConnectionId, CopyRows, ResultPage, RowLayout, Session, SqlParam};
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// The answer to one statement.
#[derive(Debug)]
pub(crate) enum ScriptedAnswer {
    /// A small result.
    Rows(Vec<Vec<Value>>),
    Page(ResultPage),
    /// The connection is lost.
    Lost,
    /// An error that leaves the connection as it is.
    Fails(ErrorKind),
}

/// A connection to a server that knows one table and answers by a script.
pub(crate) struct ScriptedSession {
    dialect: &'static dyn Dialect,
    table: Option<TableMeta>,
    /// Texts that the statements contain, with their answers.
    script: VecDeque<(&'static str, ScriptedAnswer)>,
    lost: bool,
    /// How often the table was looked up.
    pub look_ups: usize,
}

impl ScriptedSession {
    pub(crate) fn new(
        database: DatabaseKind,
        script: impl IntoIterator<Item = (&'static str, ScriptedAnswer)>,
    ) -> Self {
        Self {
            dialect: dialect::of(database),
            table: None,
            script: script.into_iter().collect(),
            lost: false,
            look_ups: 0,
        }
    }

    /// The table that the server knows.
    pub(crate) fn with_table(self, table: TableMeta) -> Self {
        Self {
            table: Some(table),
            ..self
        }
    }

    /// True if every statement of the script has been sent.
    pub(crate) fn is_done(&self) -> bool {
        self.script.is_empty()
    }

    fn answer(&mut self, sql: &str) -> Result<ScriptedAnswer> {
        let (text, answer) = self
            .script
            .pop_front()
            .unwrap_or_else(|| panic!("not in the script: {sql}"));
        assert!(sql.contains(text), "instead of {text}: {sql}");
        match answer {
            ScriptedAnswer::Lost => {
                self.lost = true;
                Err(Error::retry("the connection is lost"))
            }
            ScriptedAnswer::Fails(kind) => Err(Error::new(kind, "a statement failed")),
            answer => Ok(answer),
        }
    }
}

#[async_trait]
impl Session for ScriptedSession {
    fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    fn server_version(&self) -> &str {
        "a script"
    }

    async fn run(&mut self, _sql: &str) -> Result<u64> {
        Ok(0)
    }

    async fn execute(&mut self, sql: &Arc<str>, _params: &[SqlParam<'_>]) -> Result<u64> {
        panic!("a source writes nothing: {sql}")
    }

    fn executes_rows(&self) -> bool {
        false
    }

    async fn execute_rows(
        &mut self,
        sql: &Arc<str>,
        _width: usize,
        _params: &[SqlParam<'_>],
    ) -> Result<Option<u64>> {
        panic!("a source writes nothing: {sql}")
    }

    async fn copy(&mut self, sql: &str, _rows: &mut dyn CopyRows) -> Result<u64> {
        panic!("a source writes nothing: {sql}")
    }

    async fn query(&mut self, sql: &str, _params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>> {
        match self.answer(sql)? {
            ScriptedAnswer::Rows(rows) => Ok(rows),
            other => panic!("{sql}: {other:?}"),
        }
    }

    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>> {
        self.query(sql, &[]).await
    }

    async fn read(
        &mut self,
        sql: &Arc<str>,
        _params: &[SqlParam<'_>],
        _layout: &RowLayout,
        _max_weight: usize,
    ) -> Result<ResultPage> {
        match self.answer(sql)? {
            ScriptedAnswer::Page(page) => Ok(page),
            other => panic!("{sql}: {other:?}"),
        }
    }

    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        page_weight: usize,
        pages: &mpsc::Sender<ResultPage>,
    ) -> Result<()> {
        let page = self.read(sql, params, layout, page_weight).await?;
        drop(pages.send(page).await);
        Ok(())
    }

    async fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    async fn table(&mut self, _id: &TableId) -> Result<Option<TableMeta>> {
        self.look_ups += 1;
        Ok(self.table.clone())
    }

    async fn tables(&mut self, _filter: &TableFilter) -> Result<Vec<TableName>> {
        Ok(Vec::new())
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>> {
        panic!("not in the script: {sql}")
    }

    fn connection_id(&self) -> Option<&ConnectionId> {
        None
    }

    fn is_lost(&self) -> bool {
        self.lost
    }

    fn is_stale(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {}
}
