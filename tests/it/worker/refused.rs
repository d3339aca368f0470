//! A source with a record that Kafka does not take.

use std::sync::atomic::Ordering;
use std::time::Duration;

use testkit::for_condition;

use super::{Bench, Vault};
use crate::{SOON, lab};

/// An open transaction hides everything after it from readers of committed records until it times out.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_leaves_no_transaction_open() {
    let bench = Bench::new(None, true, 5000, Vault::default());
    let (topics, topic) = (lab().kafka().topics(), &*bench.source.topic);
    topics
        .create_with(topic, 4, &[("max.message.bytes", "30000")])
        .await;
    bench.source.big.store(2000, Ordering::Relaxed);
    bench.source.upto.store(5000, Ordering::Relaxed);
    // in small batches, so that there are some before the refused one and some behind it; with a time-out of minutes
    let overrides = [
        ("producer.override.batch.size", "20000"),
        ("producer.override.compression.type", "none"),
        ("producer.override.transaction.timeout.ms", "600000"),
    ];
    bench.start_source_with(&overrides);
    for_condition("the task to fail", SOON, async || bench.reported("failed")).await;
    topics.produce(topic, &[(None, Some("the next"))]);
    let mut behind = 0;
    for_condition(
        "a reader to get past what was aborted",
        Duration::from_secs(60),
        async || {
            let seen = topics.read(topic);
            behind = seen
                .iter()
                .filter(|entry| entry.text() == "the next")
                .map(|entry| entry.offset)
                .sum();
            behind > 0
        },
    )
    .await;
    assert!(
        behind > 100,
        "{behind} records had been written when one was refused"
    );
    assert_eq!(
        topics.read(topic).len(),
        1,
        "nothing of the transaction is committed"
    );
}
