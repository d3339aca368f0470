//! The limits: what the databases, sqlx and librdkafka do with the same rows and nothing else.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sqlx::Row;
use testkit::{MariaDb, Topics, Usage};

use crate::PATIENCE;
use crate::report::{LimitCpu, Report};
use crate::target::Target;
use crate::worker::TOPIC;

/// CPU time of this program so far.
fn own_cpu() -> Duration {
    Usage::of(std::process::id()).cpu
}

/// Reads the whole table with sqlx and drops the rows.
pub(crate) async fn read(server: &MariaDb, expected: u64, report: &mut Report) {
    use futures_util::TryStreamExt;
    let mut connection = server.connect("bench").await;
    let (own, database, start) = (own_cpu(), server.cpu(), Instant::now());
    let mut seen = 0;
    let mut stream = sqlx::query("SELECT * FROM t ORDER BY id").fetch(&mut connection);
    while let Some(row) = stream.try_next().await.expect("read a row") {
        std::hint::black_box(row.len());
        seen += 1;
    }
    assert_eq!(seen, expected, "rows read");
    report.limit(
        "sqlx reads the rows and drops them",
        "source",
        start.elapsed(),
        LimitCpu {
            client: Some(own_cpu() - own),
            database: Some(server.cpu() - database),
        },
    );
}

/// Produces records of the same bytes as the source's (a sample of them, again and again) in transactions, with the
/// worker's producer settings.
pub(crate) fn produce(topics: &Topics, count: u64, report: &mut Report) {
    const SAMPLE: usize = 50_000;
    const TRANSACTION: Duration = Duration::from_millis(500);
    let mut sample = Vec::with_capacity(SAMPLE);
    topics.first(TOPIC, SAMPLE, |entry| sample.push((entry.key, entry.value)));
    let mut config = topics.client();
    config
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random");
    config
        .set("message.max.bytes", "1048576")
        .set("queue.buffering.max.kbytes", "32768");
    config
        .set("delivery.report.only.error", "true")
        .set("transactional.id", "bench-limit");
    let producer: BaseProducer = config.create().expect("producer");
    producer
        .init_transactions(Duration::from_secs(30))
        .expect("init transactions");
    let own = own_cpu();
    let start = Instant::now();
    let mut began = Instant::now();
    producer.begin_transaction().expect("begin");
    for (key, value) in sample
        .iter()
        .cycle()
        .take(usize::try_from(count).expect("a count"))
    {
        let mut record = BaseRecord::<[u8], [u8]>::to("bench-limit");
        record.key = key.as_deref();
        record.payload = value.as_deref();
        while let Err((error, back)) = producer.send(record) {
            let full = matches!(
                error,
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
            );
            assert!(full, "produce: {error}");
            producer.poll(Duration::from_millis(5));
            record = back;
        }
        if began.elapsed() > TRANSACTION {
            producer.commit_transaction(PATIENCE).expect("commit");
            producer.begin_transaction().expect("begin");
            began = Instant::now();
        }
    }
    producer.commit_transaction(PATIENCE).expect("commit");
    let elapsed = start.elapsed();
    let cpu = LimitCpu {
        client: Some(own_cpu() - own),
        database: None,
    };
    report.limit("rdkafka produces the same bytes", "source", elapsed, cpu);
}

/// Loads the rows that the sink wrote from a file into a table like the sink's.
pub(crate) async fn load(target: &mut Target<'_>, of: &str, report: &mut Report) {
    let load = target.prepare_load().await;
    let cpu = target.cpu();
    let (database, start) = (cpu(), Instant::now());
    load.run();
    let elapsed = start.elapsed();
    let what = format!("{} of the same rows", target.fastest());
    let cpu = LimitCpu {
        client: None,
        database: Some(cpu() - database),
    };
    report.limit(&what, of, elapsed, cpu);
}
