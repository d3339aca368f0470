//! Closes a consumer. librdkafka 2.12 crashes when its request to leave a group gets no answer
//! (librdkafka issue 5347), and closing waits for ever when no request is sent. So a consumer leaves
//! its group only once the coordinator answers, or when there is no broker to send to.
//!
//! The owner waits within a limit; what is not done by then continues on a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{ErrorKind, fail_point};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

use super::super::background_drop::within;
use super::super::error;
use super::rebalance::NativeConsumer;

/// How long leaving the group and closing may block together; must be shorter than the time tasks
/// have to stop.
const ENDED_WITHIN: Duration = Duration::from_secs(3);
/// How long one request to the group's coordinator waits.
const COORDINATOR_WITHIN: Duration = Duration::from_secs(2);
/// How long revoking the partitions may take.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// Returns until when a consumer that ends now may block.
pub(super) fn deadline() -> Instant {
    Instant::now() + ENDED_WITHIN
}

/// True if the consumer may leave its group: the coordinator answers, or nothing that is sent
/// arrives anywhere. Waits for the answer until that time at most.
pub(super) fn is_safe(consumer: &Arc<NativeConsumer>, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let asked = Arc::clone(consumer);
    let answers = within(
        left,
        || true,
        move || {
            let _only_waits = fail_point::reach("consumer.leave");
            coordinator_answers(&asked, left.min(COORDINATOR_WITHIN))
        },
    );
    answers == Some(true) || is_beyond_reach(consumer)
}

/// True if partitions are assigned.
pub(super) fn is_assigned<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    consumer.assignment().is_ok_and(|list| list.count() > 0)
}

/// Closes a consumer, and makes it leave its group unless it `has_left`. Nobody answers its
/// rebalances any more: they are declined. Blocks until that time at most.
pub(super) fn close(consumer: Arc<NativeConsumer>, has_left: bool, brokers: &str, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let closing = within(
        left,
        || true,
        move || {
            consumer.context().decline_all(&consumer);
            if has_left {
                return;
            }
            while !coordinator_answers(&consumer, COORDINATOR_WITHIN) && !is_beyond_reach(&consumer)
            {
                // Keep serving events. Records polled here are dropped: they are not committed, so
                // the next owner of the partition reads them.
                drop(consumer.poll(Duration::from_millis(200)));
            }
            give_up(&consumer);
        },
    );
    if closing.is_none() && !has_left {
        tracing::info!(
            "the group's coordinator at {brokers} does not answer; a consumer leaves its group \
             later"
        );
    }
}

/// True if the consumer knows no broker and has no connection to its coordinator, so that nothing
/// it sends arrives.
fn is_beyond_reach(consumer: &NativeConsumer) -> bool {
    let contact = &consumer.context().contact;
    contact.is_lost() && !contact.group_is_up()
}

/// True if the group's coordinator is known and answers within that time.
fn coordinator_answers(consumer: &NativeConsumer, limit: Duration) -> bool {
    let mut any = TopicPartitionList::with_capacity(1);
    any.add_partition("any", 0);
    match consumer.committed_offsets(any, limit) {
        Ok(_) => true,
        Err(refused) => refused
            .rdkafka_error_code()
            .is_some_and(|code| error::kind(code) != ErrorKind::Retry),
    }
}

/// Revokes all partitions; dropping the consumer afterwards leaves the group.
fn give_up<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    consumer.unsubscribe();
    let began = Instant::now();
    while began.elapsed() < GIVEN_UP_WITHIN && is_assigned(consumer) {
        drop(consumer.poll(Duration::from_millis(20)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    /// This is how an unreachable consumer is closed; other ways of closing crash or hang in
    /// librdkafka.
    #[test]
    fn a_consumer_that_reaches_nobody_is_closed() {
        for wait_ms in [0, 1, 20, 300] {
            let mut config = ClientConfig::new();
            // Nothing listens on this port.
            config
                .set("bootstrap.servers", "127.0.0.1:1")
                .set("group.id", "g")
                .set("log_level", "0");
            let consumer: BaseConsumer = config.create().unwrap();
            consumer.subscribe(&["t"]).unwrap();
            drop(consumer.poll(Duration::from_millis(wait_ms)));
            let closed = super::within(
                Duration::from_secs(30),
                || true,
                move || {
                    super::give_up(&consumer);
                    drop(consumer);
                },
            );
            assert!(closed.is_some(), "after {wait_ms} ms");
        }
    }
}
