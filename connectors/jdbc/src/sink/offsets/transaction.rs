//! The transaction of the present batch, and what becomes of it: committed, rolled back, or in doubt.

use connector_api::{Error, Result, TopicOffset, TopicPartition};

use super::SinkOffsets;
use crate::sink::write::connection::WriteConnection;

/// How far the transaction of a batch is. `next` are the offsets that it stores.
#[derive(Debug, PartialEq, Eq)]
pub enum Tx {
    /// None is open, and the outcome of each earlier one is known.
    Idle,
    /// Everything is written; nothing is committed.
    Open { next: Vec<TopicOffset> },
    /// A commit was sent and no answer came: it may have happened.
    InDoubt { next: Vec<TopicOffset> },
}

impl Tx {
    /// Whether it is unknown if the last commit happened.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::InDoubt { .. })
    }

    /// Takes the offsets of an open transaction, which ends here. One in doubt stays in doubt.
    fn take_open(&mut self) -> Option<Vec<TopicOffset>> {
        let Self::Open { next } = self else {
            return None;
        };
        let next = std::mem::take(next);
        *self = Self::Idle;
        Some(next)
    }

    /// Rolls back what was written and never committed.
    pub async fn rollback_open(&mut self, connection: Option<&mut WriteConnection>) -> Result<()> {
        match (self.take_open(), connection) {
            (Some(_), Some(connection)) => connection.session.rollback().await,
            _ => Ok(()),
        }
    }

    /// Commits what is open. With `stores_offsets`, a commit that gets no answer is in doubt: the stored offsets will say
    /// what became of it. Without them nobody can tell, and the batch is written again.
    pub async fn commit_open(
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
            tracing::warn!(%error, "a commit got no answer");
            *self = Self::InDoubt { next };
            return Err(Error::retry(
                "the database did not answer a commit; looking whether it happened",
            ));
        }
        // one that cannot be rolled back has ended with its connection
        let _ = session.rollback().await;
        Err(error)
    }

    /// Whether a commit in doubt has stored `next`, as the stored offsets say. The dead letters of its batch were stored
    /// before it was sent.
    /// Errors: `Fatal` where it stored other offsets; otherwise it stays in doubt.
    pub async fn resolve_in_doubt(
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
        let stored = offsets
            .is_stored(&mut **session, &**writing, intended)
            .await?;
        let is_another = intended != next;
        *self = Self::Idle;
        if stored && is_another {
            return Err(Error::fatal(
                "a batch whose commit got no answer was committed, and another batch came after it",
            ));
        }
        Ok(stored)
    }

    /// Forgets the offsets in doubt of partitions that another task takes over: it sees what is stored of them.
    pub fn revoke(&mut self, partitions: &[TopicPartition]) {
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
