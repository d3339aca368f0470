//! The end of a consumer: it gives its partitions up, leaves its group and is closed, on a thread of its own, which is
//! waited for within limits. What is not done by then goes on there.
//!
//! librdkafka 2.12 crashes when its request to leave a group gets no answer (librdkafka issue 5347), and closing waits
//! for ever where none is sent: so a group is left once its coordinator answers, or when there is nobody to send to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{ErrorKind, fail_point};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

use super::background_drop::within;
use super::consumer::NativeConsumer;
use super::error;

/// How long whoever drops a consumer waits for its end; less than tasks have to stop.
const ENDED_WITHIN: Duration = Duration::from_secs(3);
/// How long one question to the group's coordinator waits.
const COORDINATOR_WITHIN: Duration = Duration::from_secs(2);
/// How long its partitions may take to be given up.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(10);

/// Ends a consumer. Blocks, but not for long.
pub(super) fn end(consumer: Arc<NativeConsumer>, brokers: &str) {
    let ending = within(
        ENDED_WITHIN,
        || true,
        move || {
            let _only_waits = fail_point::reach("consumer.leave");
            while !coordinator_answers(&consumer) && !is_beyond_reach(&consumer) {
                // events are served meanwhile; what is read is read again by others
                drop(consumer.poll(Duration::from_millis(200)));
            }
            leave(&consumer);
        },
    );
    if ending.is_none() {
        tracing::info!(
            "the group's coordinator at {brokers} does not answer; a consumer leaves its group later"
        );
    }
}

/// Whether it knows no broker and has no way to its coordinator: nothing that it does reaches anybody.
fn is_beyond_reach(consumer: &NativeConsumer) -> bool {
    let contact = &consumer.context().contact;
    contact.is_lost() && !contact.group_is_up()
}

/// Whether the group's coordinator is known and answers.
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

/// Gives up all partitions; dropping the consumer after that leaves the group.
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

    /// What is done where nobody can be reached: in librdkafka's hands others of the ways to close crash or hang.
    #[test]
    fn a_consumer_that_reaches_nobody_is_closed() {
        for wait_ms in [0, 1, 20, 300] {
            let mut config = ClientConfig::new();
            // nobody listens there
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
