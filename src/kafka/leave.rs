//! Closes a consumer: revokes its partitions, leaves its group and closes it, on a thread of its
//! own. The caller waits within a limit; what is not done by then continues on that thread.
//!
//! librdkafka 2.12 crashes when its request to leave a group gets no answer (librdkafka issue
//! 5347), and closing waits for ever when no request is sent. So a consumer leaves its group only
//! once the coordinator answers, or when there is no broker to send to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{ErrorKind, fail_point};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

use super::background_drop::within;
use super::consumer::NativeConsumer;
use super::error;

/// How long dropping a consumer may block; must be shorter than the time tasks have to stop.
const ENDED_WITHIN: Duration = Duration::from_secs(3);
/// How long one request to the group's coordinator waits.
const COORDINATOR_WITHIN: Duration = Duration::from_secs(2);
/// How long revoking the partitions may take.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// Closes a consumer. Blocks for at most [`ENDED_WITHIN`].
pub(super) fn end(consumer: Arc<NativeConsumer>, brokers: &str) {
    let ending = within(
        ENDED_WITHIN,
        || true,
        move || {
            let _only_waits = fail_point::reach("consumer.leave");
            while !coordinator_answers(&consumer) && !is_beyond_reach(&consumer) {
                // Keep serving events. Records polled here are dropped: they are not committed, so
                // the next owner of the partition reads them.
                drop(consumer.poll(Duration::from_millis(200)));
            }
            leave(&consumer);
        },
    );
    if ending.is_none() {
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

/// True if the group's coordinator is known and answers.
fn coordinator_answers(consumer: &NativeConsumer) -> bool {
    let mut any = TopicPartitionList::with_capacity(1);
    any.add_partition("any", 0);
    match consumer.committed_offsets(any, COORDINATOR_WITHIN) {
        Ok(_) => true,
        Err(refused) => refused
            .rdkafka_error_code()
            .is_some_and(|code| error::kind(code) != ErrorKind::Retry),
    }
}

/// Revokes all partitions; dropping the consumer afterwards leaves the group.
fn leave<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    consumer.unsubscribe();
    let began = Instant::now();
    while began.elapsed() < GIVEN_UP_WITHIN
        && consumer.assignment().is_ok_and(|list| list.count() > 0)
    {
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
                    super::leave(&consumer);
                    drop(consumer);
                },
            );
            assert!(closed.is_some(), "after {wait_ms} ms");
        }
    }
}
