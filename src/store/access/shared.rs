//! A store that several workers share. Nobody locks it: each change says what it was decided from, and
//! is refused when another worker has changed the store since.
//!
//! The table `last_change` has one row for what should run (1) and one for statuses (2). Each
//! transaction takes the rows it changes first and in this order, so that transactions happen one
//! after the other and never wait for each other in a circle.

use tokio::time::Instant;

use super::{HeldSession, StoreAccess, TIME_LIMIT, commit, new_id, within};
use crate::store::failure::{StoreFailure, StoreTrouble};
use crate::store::session::StoreSession;
use crate::store::statement::{SqlCell, SqlQuery, SqlStatement, statement, text};

const CHANGES: i64 = 1;
const STATUSES: i64 = 2;

const HELD_ID: SqlQuery = SqlQuery {
    sql: "SELECT id FROM last_change WHERE number = ? FOR UPDATE",
    columns: &[crate::store::statement::CellType::Text],
};

const CHANGES_ID: SqlQuery = SqlQuery {
    sql: "SELECT id FROM last_change WHERE number = 1",
    columns: &[crate::store::statement::CellType::Text],
};

const IDS: SqlQuery = SqlQuery {
    sql: "SELECT number, id FROM last_change ORDER BY number",
    columns: &[
        crate::store::statement::CellType::Int,
        crate::store::statement::CellType::Text,
    ],
};

/// Ids of the changes that this worker has read or made. `None`: not all of them, so that the next
/// reading reads everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct SharedIds {
    pub(in crate::store) changes: Option<String>,
    pub(in crate::store) statuses: Option<String>,
}

/// Whether a change depends on what this worker has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Basis {
    /// It is refused if another worker has made a change since.
    WhatWasRead,
    /// It is right whatever the store holds.
    Nothing,
    /// Like [`Basis::WhatWasRead`], but it changes only statuses.
    StatusesOnly,
}

impl StoreAccess {
    /// Executes all statements in one transaction, or none, and returns how many rows each has
    /// changed. Errors: `Changed` if its basis is no longer true.
    pub(in crate::store) async fn change_shared(
        &self,
        basis: Basis,
        statements: &[SqlStatement],
    ) -> Result<Vec<u64>, StoreFailure> {
        let deadline = Instant::now() + TIME_LIMIT;
        let held = &mut *self.held(deadline).await?;
        let mut again = held.session.is_some();
        loop {
            match self.attempt_shared(held, basis, statements, deadline).await {
                Err(failure)
                    if failure.trouble == StoreTrouble::Unreachable
                        && !failure.in_doubt
                        && std::mem::take(&mut again) => {}
                done => return done,
            }
        }
    }

    async fn attempt_shared(
        &self,
        held: &mut HeldSession,
        basis: Basis,
        statements: &[SqlStatement],
        deadline: Instant,
    ) -> Result<Vec<u64>, StoreFailure> {
        let id = new_id(&self.place)?;
        let known = held.shared.changes.clone();
        let mut session = self.session(held, deadline).await?;
        let work = self.write_shared(&mut session, (basis, known), &id, statements);
        let hits = match within(deadline, &self.place, work).await {
            Ok(hits) => hits,
            Err(failure) if failure.trouble == StoreTrouble::Changed => {
                held.shared.changes = None;
                match within(deadline, &self.place, session.command("ROLLBACK")).await {
                    Ok(()) => held.session = Some(session),
                    Err(_) => self.abandon(held, session).await,
                }
                return Err(failure);
            }
            Err(failure) => {
                self.abandon(held, session).await;
                return Err(failure);
            }
        };
        match within(deadline, &self.place, commit(&mut session)).await {
            Ok(()) => {
                held.session = Some(session);
                held.shared.noted(basis, id);
                Ok(hits)
            }
            Err(failure) => {
                self.abandon(held, session).await;
                self.outcome_shared(held, basis, id, failure, deadline)
                    .await?;
                Ok(hits)
            }
        }
    }

    async fn write_shared(
        &self,
        session: &mut StoreSession,
        (basis, known): (Basis, Option<String>),
        id: &str,
        statements: &[SqlStatement],
    ) -> Result<Vec<u64>, StoreFailure> {
        session.begin().await?;
        let changed = || {
            let why = "another worker changes the same connectors: try again";
            StoreFailure::new(StoreTrouble::Changed, why)
        };
        let is_known = |found: Vec<Vec<SqlCell>>| {
            let found = found.first().map(Vec::as_slice);
            matches!(found, Some([SqlCell::Text(id)]) if *id == known && known.is_some())
        };
        if basis == Basis::StatusesOnly {
            // Every other change waits for this row, too.
            session.execute(&set_id(STATUSES, id)).await?;
            if !is_known(session.rows(&CHANGES_ID, &[]).await?) {
                return Err(changed());
            }
        } else {
            let found = session.rows(&HELD_ID, &[SqlCell::Int(CHANGES)]).await?;
            if !is_known(found) && basis == Basis::WhatWasRead {
                return Err(changed());
            }
            session.execute(&set_id(CHANGES, id)).await?;
            session.execute(&set_id(STATUSES, id)).await?;
        }
        let mut hits = Vec::with_capacity(statements.len());
        for statement in statements {
            connector_api::fail_point::reach_async("store.before-statement").await?;
            let hit = session.execute(statement).await?;
            if hit == 0 && statement.must_hit {
                return Err(changed());
            }
            hits.push(hit);
        }
        Ok(hits)
    }

    /// Looks up the outcome of a commit that was not answered. An id that is not there proves
    /// nothing: the commit may be in progress, or another worker may have written its own over it.
    async fn outcome_shared(
        &self,
        held: &mut HeldSession,
        basis: Basis,
        id: String,
        failure: StoreFailure,
        deadline: Instant,
    ) -> Result<(), StoreFailure> {
        held.shared = SharedIds::default();
        let number = match basis {
            Basis::StatusesOnly => STATUSES,
            Basis::WhatWasRead | Basis::Nothing => CHANGES,
        };
        let looked_up = async {
            let mut session = self.session(held, deadline).await?;
            session.begin().await?;
            let found = session.rows(&HELD_ID, &[SqlCell::Int(number)]).await?;
            session.command("ROLLBACK").await?;
            Ok((session, found))
        };
        let found = within(deadline, &self.place, looked_up).await;
        let Ok((session, found)) = found else {
            return Err(StoreFailure {
                in_doubt: true,
                ..failure
            });
        };
        held.session = Some(session);
        match found.first().map(Vec::as_slice) {
            Some([SqlCell::Text(Some(there))]) if *there == id => Ok(()),
            _ => Err(StoreFailure {
                in_doubt: true,
                ..failure
            }),
        }
    }

    /// Executes one statement that others need not learn of. Returns the number of changed rows.
    pub(in crate::store) async fn execute_alone(
        &self,
        statement: &SqlStatement,
    ) -> Result<u64, StoreFailure> {
        let deadline = Instant::now() + TIME_LIMIT;
        let held = &mut *self.held(deadline).await?;
        let mut session = self.session(held, deadline).await?;
        match within(deadline, &self.place, session.execute(statement)).await {
            Ok(hit) => {
                held.session = Some(session);
                Ok(hit)
            }
            Err(failure) => {
                self.abandon(held, session).await;
                Err(failure)
            }
        }
    }

    /// Returns the ids that the store holds now, and those that this worker knows.
    pub(in crate::store) async fn ids(&self) -> Result<(SharedIds, SharedIds), StoreFailure> {
        let mut now = SharedIds::default();
        for row in self.rows(&IDS, &[]).await? {
            match row.as_slice() {
                [SqlCell::Int(CHANGES), SqlCell::Text(id)] => now.changes = id.clone(),
                [SqlCell::Int(STATUSES), SqlCell::Text(id)] => now.statuses = id.clone(),
                _ => {}
            }
        }
        let known = self.held(Instant::now() + TIME_LIMIT).await?.shared.clone();
        Ok((now, known))
    }

    /// Notes that this worker has read everything up to these ids.
    pub(in crate::store) async fn has_read(&self, ids: SharedIds) -> Result<(), StoreFailure> {
        self.held(Instant::now() + TIME_LIMIT).await?.shared = ids;
        Ok(())
    }

    /// Returns the rows of several queries as they are at one moment, and the ids at that moment.
    pub(in crate::store) async fn rows_at_once(
        &self,
        queries: &[&SqlQuery],
    ) -> Result<(SharedIds, Vec<Vec<Vec<SqlCell>>>), StoreFailure> {
        let deadline = Instant::now() + TIME_LIMIT;
        let held = &mut *self.held(deadline).await?;
        let mut session = self.session(held, deadline).await?;
        let read = async {
            session.begin_reading().await?;
            let mut all = Vec::with_capacity(queries.len());
            for query in queries {
                all.push(session.rows(query, &[]).await?);
            }
            let ids = session.rows(&IDS, &[]).await?;
            session.command("ROLLBACK").await?;
            Ok((ids, all))
        };
        match within(deadline, &self.place, read).await {
            Ok((found, all)) => {
                held.session = Some(session);
                let mut ids = SharedIds::default();
                for row in found {
                    match row.as_slice() {
                        [SqlCell::Int(CHANGES), SqlCell::Text(id)] => ids.changes = id.clone(),
                        [SqlCell::Int(STATUSES), SqlCell::Text(id)] => ids.statuses = id.clone(),
                        _ => {}
                    }
                }
                Ok((ids, all))
            }
            Err(failure) => {
                self.abandon(held, session).await;
                Err(failure)
            }
        }
    }
}

impl SharedIds {
    /// Notes this worker's own change. Others may have changed statuses before it, and with no basis
    /// anything.
    fn noted(&mut self, basis: Basis, id: String) {
        self.statuses = None;
        match basis {
            Basis::WhatWasRead => self.changes = Some(id),
            Basis::Nothing => self.changes = None,
            Basis::StatusesOnly => {}
        }
    }
}

fn set_id(number: i64, id: &str) -> SqlStatement {
    statement(
        "UPDATE last_change SET id = ? WHERE number = ?",
        vec![text(id), SqlCell::Int(number)],
    )
}
