//! Contains panics of a driver over a malformed response: the call ends with an error, and the
//! connection is dropped.
//!
//! Drivers trust the server's messages in places and index past their end. After a panic the
//! connection's state is undefined, so it is dropped without the closing handshake.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::{Error, Result, Value};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::{ConnectionId, CopyRows, ResultPage, RowLayout, Session, SqlParam};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::Dialect;
use crate::ident::TableId;

/// Awaits a call. Errors: the call's own; `Fatal` if it panicked, and then sets `broken`.
pub(super) async fn catch_panics<T>(
    place: &str,
    broken: &mut bool,
    call: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let outcome = AssertUnwindSafe(call).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        *broken = true;
        Err(Error::fatal(format!(
            "{place} sent data that the driver could not read: it panicked, and the connection is \
             closed; check that a supported database answers there and that nothing in between \
             changes its data. The log names the place in the code"
        )))
    })
}

/// A session that turns panics of its calls into errors.
pub(super) struct PanicSafeSession<S> {
    session: S,
    place: String,
    broken: bool,
}

impl<S: Session> PanicSafeSession<S> {
    /// Wraps a session; `place` is `host:port/database` for the message.
    pub(super) fn new(session: S, place: String) -> Self {
        Self {
            session,
            place,
            broken: false,
        }
    }
}

#[async_trait]
impl<S: Session + 'static> Session for PanicSafeSession<S> {
    fn dialect(&self) -> &'static dyn Dialect {
        self.session.dialect()
    }

    fn server_version(&self) -> &str {
        self.session.server_version()
    }

    async fn run(&mut self, sql: &str) -> Result<u64> {
        catch_panics(&self.place, &mut self.broken, self.session.run(sql)).await
    }

    async fn execute(&mut self, sql: &Arc<str>, params: &[SqlParam<'_>]) -> Result<u64> {
        catch_panics(
            &self.place,
            &mut self.broken,
            self.session.execute(sql, params),
        )
        .await
    }

    fn executes_rows(&self) -> bool {
        self.session.executes_rows()
    }

    async fn execute_rows(
        &mut self,
        sql: &Arc<str>,
        width: usize,
        params: &[SqlParam<'_>],
    ) -> Result<Option<u64>> {
        let call = self.session.execute_rows(sql, width, params);
        catch_panics(&self.place, &mut self.broken, call).await
    }

    async fn copy(&mut self, sql: &str, rows: &mut dyn CopyRows) -> Result<u64> {
        catch_panics(&self.place, &mut self.broken, self.session.copy(sql, rows)).await
    }

    async fn query(&mut self, sql: &str, params: &[SqlParam<'_>]) -> Result<Vec<Vec<Value>>> {
        catch_panics(
            &self.place,
            &mut self.broken,
            self.session.query(sql, params),
        )
        .await
    }

    async fn query_once(&mut self, sql: &str) -> Result<Vec<Vec<Value>>> {
        catch_panics(&self.place, &mut self.broken, self.session.query_once(sql)).await
    }

    async fn read(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        max_weight: usize,
    ) -> Result<ResultPage> {
        catch_panics(
            &self.place,
            &mut self.broken,
            self.session.read(sql, params, layout, max_weight),
        )
        .await
    }

    async fn stream(
        &mut self,
        sql: &Arc<str>,
        params: &[SqlParam<'_>],
        layout: &RowLayout,
        page_weight: usize,
        pages: &mpsc::Sender<ResultPage>,
    ) -> Result<()> {
        let call = self.session.stream(sql, params, layout, page_weight, pages);
        catch_panics(&self.place, &mut self.broken, call).await
    }

    async fn begin(&mut self) -> Result<()> {
        catch_panics(&self.place, &mut self.broken, self.session.begin()).await
    }

    async fn commit(&mut self) -> Result<()> {
        catch_panics(&self.place, &mut self.broken, self.session.commit()).await
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.broken {
            return Ok(());
        }
        catch_panics(&self.place, &mut self.broken, self.session.rollback()).await
    }

    async fn table(&mut self, id: &TableId) -> Result<Option<TableMeta>> {
        catch_panics(&self.place, &mut self.broken, self.session.table(id)).await
    }

    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableName>> {
        catch_panics(&self.place, &mut self.broken, self.session.tables(filter)).await
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<ColumnMeta>> {
        catch_panics(&self.place, &mut self.broken, self.session.describe(sql)).await
    }

    fn is_stale(&self) -> bool {
        self.session.is_stale()
    }

    fn needs_transaction(&self) -> bool {
        self.session.needs_transaction()
    }

    fn is_lost(&self) -> bool {
        self.broken || self.session.is_lost()
    }

    fn connection_id(&self) -> Option<&ConnectionId> {
        self.session.connection_id()
    }

    async fn close(self: Box<Self>) {
        let Self {
            session,
            place,
            mut broken,
        } = *self;
        if !broken {
            let close = async move {
                Box::new(session).close().await;
                Ok(())
            };
            // the session ends here, so its error has no consequence
            drop(catch_panics(&place, &mut broken, close).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{ErrorKind, Result};

    use super::catch_panics;

    #[tokio::test]
    async fn a_panic_is_a_fatal_error_that_names_the_place_and_breaks_the_session() {
        let (mut broken, short) = (false, b"ab".to_vec());
        let call = async { Ok(short[2]) };
        let error = catch_panics("h:1/d", &mut broken, call).await.unwrap_err();
        assert_eq!((error.kind(), broken), (ErrorKind::Fatal, true));
        assert!(error.message().starts_with("h:1/d sent data"), "{error}");
        let (mut broken, fine) = (false, async { Result::Ok(1) });
        assert_eq!(
            (
                catch_panics("h:1/d", &mut broken, fine).await.unwrap(),
                broken
            ),
            (1, false)
        );
    }
}
