//! A sink that loses partitions while what it has read of them waits to be written.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testkit::{for_condition, unique};

use super::{Bench, Vault};
use crate::lab;

const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a record with that id.
fn produce(topic: &str, partition: i32, id: i64) {
    let producer: BaseProducer = lab().kafka().topics().client().create().unwrap();
    let schema = r#"{"type":"struct","fields":[{"field":"id","type":"int64"}]}"#;
    let value = format!(r#"{{"schema":{schema},"payload":{{"id":{id}}}}}"#);
    producer
        .send(
            BaseRecord::<str, str>::to(topic)
                .partition(partition)
                .payload(&value),
        )
        .map_err(|(e, _)| e)
        .unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// Another member of a group, which reads and keeps nothing.
struct Member {
    consumer: Arc<BaseConsumer>,
    leave: Arc<AtomicBool>,
    polling: std::thread::JoinHandle<()>,
}

impl Member {
    fn join(group: &str, topics: &[&str]) -> Self {
        let mut client = lab().kafka().topics().client();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "false");
        let consumer: Arc<BaseConsumer> = Arc::new(client.create().unwrap());
        consumer.subscribe(topics).unwrap();
        let leave = Arc::new(AtomicBool::new(false));
        let (polled, left) = (Arc::clone(&consumer), Arc::clone(&leave));
        let polling = std::thread::spawn(move || {
            while !left.load(Ordering::Relaxed) {
                drop(polled.poll(Duration::from_millis(50)));
            }
        });
        Self {
            consumer,
            leave,
            polling,
        }
    }

    fn partitions(&self) -> usize {
        self.consumer.assignment().map_or(0, |list| list.count())
    }

    fn leave(self) {
        self.leave.store(true, Ordering::Relaxed);
        self.polling.join().unwrap();
    }
}

/// Each batch but the first has two records, and both partitions: whichever the sink loses, a batch that waits has a
/// record of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_forgets_lost_partitions_in_the_batch_that_waits_behind_a_retried_one() {
    let bench = Bench::new(None, true, 1, Vault::default());
    let topics = ["first", "second", "third", "last"].map(unique);
    let [first, second, third, last] = &topics;
    for topic in &topics {
        lab().kafka().topics().create(topic, 2).await;
    }
    bench.sink.shut.store(true, Ordering::Relaxed);
    bench.start_sink(&[
        ("topics", &topics.join(",")),
        ("consumer.override.max.poll.records", "2"),
    ]);
    let reported = async |topic: &String| {
        for_condition(
            &format!("a record of {topic} to be read"),
            PATIENCE,
            async || bench.reported(&format!("topic {topic}")),
        )
        .await;
    };
    let kept = || bench.sink.kept.lock().unwrap();
    produce(first, 0, 0);
    for_condition("a batch to be retried", PATIENCE, async || {
        kept().refused > 0
    })
    .await;
    produce(second, 0, 1);
    produce(third, 1, 2);
    reported(second).await;
    reported(third).await;
    // with these two a batch is full, so that it is handed over before anything else is read
    produce(last, 0, 3);
    reported(last).await;

    let member = Member::join(
        &format!("connect-{}", bench.names.1),
        &topics.each_ref().map(String::as_str),
    );
    for_condition(
        "each to have half of the partitions",
        PATIENCE,
        async || member.partitions() == topics.len() && kept().held.len() == topics.len(),
    )
    .await;
    let half: HashSet<_> = kept().held.iter().map(|at| at.partition).collect();
    assert_eq!(half.len(), 1, "{half:?}");
    bench.sink.shut.store(false, Ordering::Relaxed);
    for_condition("a batch to be written", PATIENCE, async || {
        assert!(
            !bench.reported("failed"),
            "{:?}",
            bench.events.lock().unwrap()
        );
        kept().puts > 0
    })
    .await;
    member.leave();
    bench.until_kept(4).await;
    bench.stop(&bench.names.1).await;
    bench.sink.assert_whole(4);
}
