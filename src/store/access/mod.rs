//! The store's only connection: transactions that happen completely or not at all, whose outcome is
//! known, within a limited time. A connection that has returned an error is never used again.

mod shared;

use std::time::Duration;

use connector_api::fail_point;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::failure::{StoreFailure, StoreTrouble};
use super::files;
use super::last_change::LastChange;
use super::location::{StoreKind, StoreLocation};
use super::session::{Reservation, StoreSession};
use super::statement::{self, SqlCell, SqlQuery, SqlStatement};
pub(super) use shared::{Basis, SharedIds};

/// A store that does not answer within this time is reported as unreachable.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long migrating the tables or rewriting the file may take.
const REWRITE_LIMIT: Duration = Duration::from_secs(120);
/// How long the outcome of a commit is looked up immediately; after that the change stays in doubt.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// How long closing a connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Access to the store.
pub(super) struct StoreAccess {
    place: StoreLocation,
    /// Several workers use the store.
    is_shared: bool,
    held: Mutex<HeldSession>,
}

#[derive(Default)]
struct HeldSession {
    /// The connection; `None` after an error, until the next use.
    session: Option<StoreSession>,
    /// The server's id of the last connection.
    backend: Option<i64>,
    ledger: LastChange,
    /// What this worker knows of a store that it shares.
    shared: SharedIds,
}

impl StoreAccess {
    /// Connects and migrates the tables. `has_own_key`: a key file was created for a store at this
    /// location. Errors: also `Lost` if the location is empty although a store has existed there.
    pub(super) async fn open(
        place: StoreLocation,
        has_own_key: bool,
        is_shared: bool,
    ) -> Result<Self, StoreFailure> {
        if let StoreKind::File(_, path) = &place.kind
            && let Some(cause) = files::lost_store(path, has_own_key)
        {
            return Err(StoreFailure::from_cause(
                StoreTrouble::Lost,
                &place.shown,
                &cause,
            ));
        }
        let mut session = within(
            Instant::now() + TIME_LIMIT,
            &place,
            StoreSession::open(&place, reservation(is_shared, None)),
        )
        .await?;
        let mut held = HeldSession {
            backend: session.backend,
            ..HeldSession::default()
        };
        let prepared = async {
            if has_own_key {
                session.has_tables(&place).await?;
            }
            if is_shared {
                session.migrate_alone(&place).await
            } else {
                session.migrate(&place).await?;
                read_ledger(&mut session, &mut held.ledger, &place).await
            }
        };
        within(Instant::now() + REWRITE_LIMIT, &place, prepared).await?;
        held.session = Some(session);
        Ok(Self {
            place,
            is_shared,
            held: Mutex::new(held),
        })
    }

    /// Executes all statements in one transaction, or none. After `Ok` they survive a power loss.
    pub(super) async fn transact(&self, statements: &[SqlStatement]) -> Result<(), StoreFailure> {
        if self.is_shared {
            return self
                .change_shared(Basis::WhatWasRead, statements)
                .await
                .map(drop);
        }
        self.transact_by(statements, Instant::now() + TIME_LIMIT)
            .await
    }

    /// Like [`StoreAccess::transact`], with time for many statements, on a store of this process's
    /// own.
    pub(super) async fn transact_long(
        &self,
        statements: &[SqlStatement],
    ) -> Result<(), StoreFailure> {
        self.transact_by(statements, Instant::now() + REWRITE_LIMIT)
            .await
    }

    async fn transact_by(
        &self,
        statements: &[SqlStatement],
        deadline: Instant,
    ) -> Result<(), StoreFailure> {
        let held = &mut *self.held(deadline).await?;
        held.ledger.begin();
        if held.ledger.is_in_doubt() {
            self.settle_within(held, deadline).await?;
            held.ledger.begin();
        }
        // An idle connection may have died unnoticed. Retry once, but only what has certainly not
        // happened.
        let mut again = true;
        loop {
            let was_connected = held.session.is_some();
            match self.attempt(held, statements, deadline).await {
                Err(failure)
                    if failure.trouble == StoreTrouble::Unreachable
                        && !failure.in_doubt
                        && was_connected
                        && again =>
                {
                    again = false;
                }
                done => return done,
            }
        }
    }

    /// Runs the transaction once. An unanswered commit is looked up, so that its outcome is
    /// reported if it can be known.
    async fn attempt(
        &self,
        held: &mut HeldSession,
        statements: &[SqlStatement],
        deadline: Instant,
    ) -> Result<(), StoreFailure> {
        let id = new_id(&self.place)?;
        let mut session = self.session(held, deadline).await?;
        let change = statement::change(held.ledger.known(), &id);
        let work = write(&mut session, &change, statements, &self.place);
        if let Err(failure) = within(deadline, &self.place, work).await {
            self.abandon(held, session).await;
            return Err(failure);
        }
        // Noted before the commit is sent: if its answer is lost, this id in the store proves that
        // it happened.
        held.ledger.committing(id);
        match within(deadline, &self.place, commit(&mut session)).await {
            Ok(()) => {
                held.ledger.committed();
                held.session = Some(session);
                Ok(())
            }
            Err(failure) => {
                self.abandon(held, session).await;
                self.outcome(held, failure).await
            }
        }
    }

    /// Looks up the outcome of a commit that returned an error or was not answered.
    async fn outcome(
        &self,
        held: &mut HeldSession,
        failure: StoreFailure,
    ) -> Result<(), StoreFailure> {
        warn!(
            error = failure.text,
            "a commit of the metadata store failed; its outcome is queried"
        );
        match self
            .settle_within(held, Instant::now() + SETTLE_LIMIT)
            .await
        {
            Ok(()) if held.ledger.settled() == Some(true) => Ok(()),
            Ok(()) => Err(failure),
            Err(_) => Err(StoreFailure {
                in_doubt: true,
                ..failure
            }),
        }
    }

    /// Returns whether the change in doubt was kept; `None` if none is in doubt, or another change
    /// was made after it.
    pub(super) async fn settle(&self) -> Result<Option<bool>, StoreFailure> {
        let deadline = Instant::now() + TIME_LIMIT;
        let held = &mut *self.held(deadline).await?;
        self.settle_within(held, deadline).await?;
        Ok(held.ledger.settled())
    }

    async fn settle_within(
        &self,
        held: &mut HeldSession,
        deadline: Instant,
    ) -> Result<(), StoreFailure> {
        let mut session = self.session(held, deadline).await?;
        if held.ledger.is_in_doubt() {
            let read = read_ledger(&mut session, &mut held.ledger, &self.place);
            if let Err(failure) = within(deadline, &self.place, read).await {
                self.abandon(held, session).await;
                return Err(failure);
            }
        }
        held.session = Some(session);
        Ok(())
    }

    /// Returns the rows of a query.
    pub(super) async fn rows(
        &self,
        query: &SqlQuery,
        args: &[SqlCell],
    ) -> Result<Vec<Vec<SqlCell>>, StoreFailure> {
        let deadline = Instant::now() + TIME_LIMIT;
        let held = &mut *self.held(deadline).await?;
        let mut again = held.session.is_some();
        loop {
            let mut session = self.session(held, deadline).await?;
            let asked = async {
                fail_point::reach_async("store.query").await?;
                session.rows(query, args).await
            };
            match within(deadline, &self.place, asked).await {
                Ok(rows) => {
                    held.session = Some(session);
                    return Ok(rows);
                }
                Err(failure) => {
                    self.abandon(held, session).await;
                    if !std::mem::take(&mut again) || failure.trouble != StoreTrouble::Unreachable {
                        return Err(failure);
                    }
                }
            }
        }
    }

    /// Checks that the store exists and is this worker's.
    pub(super) async fn check(&self) -> Result<(), StoreFailure> {
        let rows = self.rows(&statement::LAST_CHANGE, &[]).await?;
        let held = &mut *self.held(Instant::now() + TIME_LIMIT).await?;
        match rows.first().map(Vec::as_slice) {
            Some([SqlCell::Text(Some(id))]) if held.ledger.is_ours(id) => Ok(()),
            _ => Err(foreign(&self.place)),
        }
    }

    /// Rewrites an SQLite file, so that it contains no remains of deleted data.
    pub(super) async fn rewrite(&self) -> Result<(), StoreFailure> {
        if !matches!(self.place.kind, StoreKind::File(..)) {
            return Ok(());
        }
        let deadline = Instant::now() + REWRITE_LIMIT;
        let held = &mut *self.held(deadline).await?;
        let mut session = self.session(held, deadline).await?;
        for command in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            if let Err(failure) = within(deadline, &self.place, session.command(command)).await {
                self.abandon(held, session).await;
                return Err(failure);
            }
        }
        held.session = Some(session);
        Ok(())
    }

    /// Closes the connection; committed changes are kept.
    pub(super) async fn close(&self) {
        let Ok(mut held) = timeout(CLOSE_LIMIT, self.held.lock()).await else {
            return;
        };
        if let Some(session) = held.session.take() {
            drop(timeout(CLOSE_LIMIT, session.close()).await);
        }
    }

    pub(super) fn place(&self) -> &StoreLocation {
        &self.place
    }

    async fn held(&self, deadline: Instant) -> Result<MutexGuard<'_, HeldSession>, StoreFailure> {
        timeout_at(deadline, self.held.lock())
            .await
            .map_err(|_| StoreFailure::silent(&self.place.shown))
    }

    /// Takes the connection, or opens a new one. The caller puts it back unless it has returned an
    /// error. A new connection holds the lock, so nothing of an older one is in progress any more,
    /// and what the ledger reads is final.
    async fn session(
        &self,
        held: &mut HeldSession,
        deadline: Instant,
    ) -> Result<StoreSession, StoreFailure> {
        if let Some(session) = held.session.take() {
            return Ok(session);
        }
        let opened = async {
            fail_point::reach_async("store.connect").await?;
            let again = Some((&held.ledger, held.backend));
            let mut session =
                StoreSession::open(&self.place, reservation(self.is_shared, again)).await?;
            if !self.is_shared {
                read_ledger(&mut session, &mut held.ledger, &self.place).await?;
            }
            Ok(session)
        };
        let session = within(deadline, &self.place, opened).await?;
        held.backend = session.backend;
        info!(
            store = self.place.shown,
            "the connection to the metadata store was opened again"
        );
        Ok(session)
    }

    /// Closes a connection that has returned an error. A store in memory lives in its connection,
    /// which is kept.
    async fn abandon(&self, held: &mut HeldSession, mut session: StoreSession) {
        if self.place.is_in_memory() {
            // SQLite may have ended the transaction already, and then this fails. If it has not and
            // this fails too, the next BEGIN refuses.
            drop(session.command("ROLLBACK").await);
            held.session = Some(session);
        } else {
            drop(timeout(CLOSE_LIMIT, session.close()).await);
        }
    }
}

fn reservation<'a>(
    is_shared: bool,
    again: Option<(&'a LastChange, Option<i64>)>,
) -> Reservation<'a> {
    if is_shared {
        Reservation::Shared(again.is_some())
    } else {
        Reservation::Own(again)
    }
}

/// Executes the statements in a new transaction. The id of the change comes first: if another
/// worker has changed the store, nothing else is written.
async fn write(
    session: &mut StoreSession,
    change: &SqlStatement,
    statements: &[SqlStatement],
    place: &StoreLocation,
) -> Result<(), StoreFailure> {
    session.begin().await?;
    for statement in std::iter::once(change).chain(statements) {
        fail_point::reach_async("store.before-statement").await?;
        if session.execute(statement).await? == 0 && statement.must_hit {
            return Err(foreign(place));
        }
        fail_point::reach_async("store.after-statement").await?;
    }
    Ok(())
}

async fn commit(session: &mut StoreSession) -> Result<(), StoreFailure> {
    fail_point::reach_async("store.before-commit").await?;
    session.commit().await?;
    Ok(fail_point::reach_async("store.after-commit").await?)
}

/// Compares the store's last change with the one this worker knows.
async fn read_ledger(
    session: &mut StoreSession,
    ledger: &mut LastChange,
    place: &StoreLocation,
) -> Result<(), StoreFailure> {
    let id = session.last_change().await?.ok_or_else(|| foreign(place))?;
    if ledger.is_doubtful(&id) && matches!(place.kind, StoreKind::File(..)) {
        // The commit may exist only in the operating system's memory; this writes it to disk.
        session.command("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    ledger.read(&id).map_err(|_| foreign(place))
}

fn foreign(place: &StoreLocation) -> StoreFailure {
    StoreFailure::from_cause(
        StoreTrouble::Foreign,
        &place.shown,
        "its content is not what this worker stored",
    )
}

async fn within<T>(
    deadline: Instant,
    place: &StoreLocation,
    work: impl Future<Output = Result<T, StoreFailure>>,
) -> Result<T, StoreFailure> {
    match timeout_at(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreFailure::silent(&place.shown)),
    }
}

fn new_id(place: &StoreLocation) -> Result<String, StoreFailure> {
    let mut bytes = [0u8; 16];
    let none = |_| {
        StoreFailure::from_cause(
            StoreTrouble::Broken,
            &place.shown,
            "the system provides no random numbers",
        )
    };
    SystemRandom::new().fill(&mut bytes).map_err(none)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
