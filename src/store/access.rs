//! The store's one connection in use: transactions that happen whole or not at all and whose outcome is known, within a
//! limited time. A connection that has shown an error is never used again.

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
use super::session::StoreSession;
use super::statement::{self, SqlCell, SqlQuery, SqlStatement};

/// A store that does not answer within this time is taken for unreachable.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Longest time to bring the tables up to date or to write a file anew.
const REWRITE_LIMIT: Duration = Duration::from_secs(120);
/// How long the outcome of a commit is looked for at once.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// How long the end of a connection is waited for.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The store, reached.
pub(super) struct StoreAccess {
    place: StoreLocation,
    held: Mutex<HeldSession>,
}

#[derive(Default)]
struct HeldSession {
    /// `None` after an error, until it is needed again.
    session: Option<StoreSession>,
    /// The server's number of the last connection.
    backend: Option<i64>,
    ledger: LastChange,
}

impl StoreAccess {
    /// Connects and brings the tables up to date. `has_own_key`: a key was made for a store in this place.
    /// Errors: also `Lost`, when there is nothing in a place where there has been something.
    pub(super) async fn open(
        place: StoreLocation,
        has_own_key: bool,
    ) -> Result<Self, StoreFailure> {
        if let StoreKind::File(_, path) = &place.kind
            && let Some(cause) = files::lost_store(path, has_own_key)
        {
            return Err(StoreFailure::told(StoreTrouble::Lost, &place.shown, &cause));
        }
        let mut session = within(
            Instant::now() + TIME_LIMIT,
            &place,
            StoreSession::open(&place, None),
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
            session.migrate(&place).await?;
            read_ledger(&mut session, &mut held.ledger, &place).await
        };
        within(Instant::now() + REWRITE_LIMIT, &place, prepared).await?;
        held.session = Some(session);
        Ok(Self {
            place,
            held: Mutex::new(held),
        })
    }

    /// Performs all statements in one transaction, or none. After `Ok` it survives a power loss.
    pub(super) async fn transact(&self, statements: &[SqlStatement]) -> Result<(), StoreFailure> {
        let deadline = Instant::now() + TIME_LIMIT;
        let held = &mut *self.held(deadline).await?;
        held.ledger.begin();
        if held.ledger.is_in_doubt() {
            self.settle_within(held, deadline).await?;
            held.ledger.begin();
        }
        // A connection that was idle may have died unnoticed, and what has surely not happened may be tried again, once.
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

    /// What became of a commit that was answered with an error or not at all.
    async fn outcome(
        &self,
        held: &mut HeldSession,
        failure: StoreFailure,
    ) -> Result<(), StoreFailure> {
        warn!(
            error = failure.text,
            "a commit of the metadata store failed; its outcome is read"
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

    /// Whether the change that was in doubt was kept; `None` when none is, or another was made after it.
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

    /// The rows of a query.
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

    /// Looks whether the store is there and this worker's.
    pub(super) async fn check(&self) -> Result<(), StoreFailure> {
        let rows = self.rows(&statement::LAST_CHANGE, &[]).await?;
        let held = &mut *self.held(Instant::now() + TIME_LIMIT).await?;
        match rows.first().map(Vec::as_slice) {
            Some([SqlCell::Text(Some(id))]) if held.ledger.is_ours(id) => Ok(()),
            _ => Err(foreign(&self.place)),
        }
    }

    /// Has an SQLite file written anew, so that nothing that was deleted is left in it.
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

    /// Ends the connection; what was committed stays.
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

    /// The connection, or a new one, to be put back unless it has shown an error. With the lock of a new one in hand, nothing of
    /// an older one is under way any more, so what the ledger says is final.
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
            let mut session =
                StoreSession::open(&self.place, Some((&held.ledger, held.backend))).await?;
            read_ledger(&mut session, &mut held.ledger, &self.place).await?;
            Ok(session)
        };
        let session = within(deadline, &self.place, opened).await?;
        held.backend = session.backend;
        info!(
            store = self.place.shown,
            "the metadata store was connected anew"
        );
        Ok(session)
    }

    /// Ends a connection that has shown an error. A store in memory lives in its connection and has to stay.
    async fn abandon(&self, held: &mut HeldSession, mut session: StoreSession) {
        if self.place.is_in_memory() {
            // SQLite may have ended the transaction by itself; BEGIN refuses where it has not and this fails.
            drop(session.command("ROLLBACK").await);
            held.session = Some(session);
        } else {
            drop(timeout(CLOSE_LIMIT, session.close()).await);
        }
    }
}

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

/// Compares what the store holds with what this worker knows.
async fn read_ledger(
    session: &mut StoreSession,
    ledger: &mut LastChange,
    place: &StoreLocation,
) -> Result<(), StoreFailure> {
    let id = session.last_change().await?.ok_or_else(|| foreign(place))?;
    if ledger.is_doubtful(&id) && matches!(place.kind, StoreKind::File(..)) {
        // The commit may be in the system's memory alone; this writes it out.
        session.command("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    ledger.read(&id).map_err(|_| foreign(place))
}

fn foreign(place: &StoreLocation) -> StoreFailure {
    StoreFailure::told(
        StoreTrouble::Foreign,
        &place.shown,
        "what it holds is not what this worker has stored",
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
        StoreFailure::told(
            StoreTrouble::Broken,
            &place.shown,
            "the system gives no random numbers",
        )
    };
    SystemRandom::new().fill(&mut bytes).map_err(none)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
