//! The transaction of the current batch and its outcome: committed, rolled back, or in doubt.

use connector_api::{Error, Result, TopicOffset, TopicPartition};

use super::SinkOffsets;
use crate::sink::write::connection::WriteConnection;

/// The state of a batch's transaction. `next` are the offsets that it stores.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tx {
    /// None is open, and the outcome of each earlier one is known.
    Idle,
    /// Everything is written; nothing is committed.
    Open { next: Vec<TopicOffset> },
    /// A commit was sent and not answered: it may have happened.
    InDoubt { next: Vec<TopicOffset> },
}

impl Tx {
    /// True if the outcome of the last commit is unknown.
    pub(crate) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::InDoubt { .. })
    }

    /// Takes the offsets of an open transaction and leaves `Idle`. A transaction in doubt stays in
    /// doubt.
    fn take_open(&mut self) -> Option<Vec<TopicOffset>> {
        let Self::Open { next } = self else {
            return None;
        };
        let next = std::mem::take(next);
        *self = Self::Idle;
        Some(next)
    }

    /// Rolls back an open transaction.
    pub(crate) async fn rollback_open(
        &mut self,
        connection: Option<&mut WriteConnection>,
    ) -> Result<()> {
        match (self.take_open(), connection) {
            (Some(_), Some(connection)) => connection.session.rollback().await,
            _ => Ok(()),
        }
    }

    /// Commits an open transaction. With `stores_offsets`, a commit that is not answered is in
    /// doubt: the stored offsets will show its outcome. Without them the outcome cannot be found,
    /// and the batch is written again.
    pub(crate) async fn commit_open(
        &mut self,
        connection: Option<&mut WriteConnection>,
        stores_offsets: bool,
    ) -> Result<()> {
        let (Some(next), Some(connection)) = (self.take_open(), connection) else {
            return Ok(());
        };
        let session = &mut connection.session;
        let Err(error) = session.commit().await else {
            return Ok(());
        };
        if session.is_lost() && stores_offsets && !next.is_empty() {
            tracing::warn!(%error, "a commit was not answered");
            *self = Self::InDoubt { next };
            return Err(Error::retry(
                "the database did not answer a commit; its outcome is queried",
            ));
        }
        // a transaction that cannot be rolled back ended with its connection
        drop(session.rollback().await);
        Err(error)
    }

    /// True if a commit in doubt has stored `next`, according to the stored offsets. The dead
    /// letters of its batch were acknowledged before the commit was sent.
    /// Errors: `Fatal` if it stored other offsets; after any other error it stays in doubt.
    pub(crate) async fn resolve_in_doubt(
        &mut self,
        connection: &mut WriteConnection,
        offsets: &SinkOffsets,
        next: &[TopicOffset],
    ) -> Result<bool> {
        let Self::InDoubt { next: intended } = self else {
            return Ok(false);
        };
        let WriteConnection {
            session, writing, ..
        } = connection;
        let stored = offsets.is_stored(&mut **session, writing, intended).await?;
        let is_another = intended != next;
        *self = Self::Idle;
        if stored && is_another {
            return Err(Error::fatal(
                "a batch whose commit was not answered was committed, and another batch was \
                 committed after it",
            ));
        }
        Ok(stored)
    }

    /// Forgets the offsets in doubt of revoked partitions: their new owner reads what is stored.
    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) {
        let Self::InDoubt { next } = self else {
            return;
        };
        let is_revoked = |at: &TopicOffset| {
            partitions
                .iter()
                .any(|p| p.partition == at.partition && p.topic == at.topic)
        };
        next.retain(|at| !is_revoked(at));
        if next.is_empty() {
            *self = Self::Idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{TopicOffset, TopicPartition};

    use super::Tx;

    fn offset(topic: &str, partition: i32) -> TopicOffset {
        TopicOffset {
            topic: Arc::from(topic),
            partition,
            offset: 7,
        }
    }

    fn partition(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: Arc::from(topic),
            partition,
        }
    }

    #[test]
    fn revoked_partitions_are_no_longer_in_doubt() {
        let mut tx = Tx::InDoubt {
            next: vec![offset("a", 0), offset("a", 1), offset("b", 0)],
        };
        tx.revoke(&[partition("a", 0), partition("b", 1)]);
        let left = vec![offset("a", 1), offset("b", 0)];
        assert_eq!(tx, Tx::InDoubt { next: left });
        tx.revoke(&[partition("a", 1), partition("b", 0)]);
        assert_eq!(tx, Tx::Idle);
    }

    #[test]
    fn a_revocation_leaves_an_open_transaction_as_it_is() {
        let mut tx = Tx::Open {
            next: vec![offset("a", 0)],
        };
        tx.revoke(&[partition("a", 0)]);
        assert!(matches!(tx, Tx::Open { .. }));
    }

    #[tokio::test]
    async fn only_an_open_transaction_is_rolled_back() {
        let in_doubt = || Tx::InDoubt {
            next: vec![offset("a", 0)],
        };
        let mut tx = in_doubt();
        tx.rollback_open(None).await.unwrap();
        tx.commit_open(None, true).await.unwrap();
        assert_eq!(tx, in_doubt());
        let mut tx = Tx::Open { next: Vec::new() };
        tx.rollback_open(None).await.unwrap();
        assert_eq!(tx, Tx::Idle);
    }
}
