//! Batches that are small on the wire and huge when they are inflated: the worker's memory stays bounded, whatever they are
//! compressed by and however many there are.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use testkit::{KafkaProxy, MariaDb, Rowferry, Settings, Usage, for_condition, unique};

use crate::{SOON, lab};

/// What a worker may take at most meanwhile.
const MOST: u64 = 500 * 1024 * 1024;

/// Writes records of so many bytes of one letter, all in one batch.
fn produce(topic: &str, partition: i32, codec: &str, records: usize, bytes: usize) {
    let mut client = lab().kafka().topics().client();
    client
        .set("compression.type", codec)
        .set("message.max.bytes", "1000000000")
        .set("linger.ms", "1000");
    client
        .set("batch.size", "900000000")
        .set("queue.buffering.max.kbytes", "2097151")
        .set("partitioner", "random");
    let producer: BaseProducer = client.create().unwrap();
    let value = "a".repeat(bytes);
    for _ in 0..records {
        let record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// A sink that reads a topic and writes none of it.
async fn read_all(worker: &Rowferry, topic: &str) {
    let server = lab().mariadb();
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": server.jdbc_url("mysql"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "topics": topic,
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "transforms": "none", "transforms.none.type": "org.apache.kafka.connect.transforms.Filter",
    });
    worker.rest().create(topic, &config).await;
}

fn worker(name: &str) -> Rowferry {
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique(name), lab().kafka().brokers()),
    );
    Usage::reset_peak(worker.pid());
    worker
}

fn assert_small(worker: &Rowferry, what: &str) {
    let peak = Usage::of(worker.pid()).peak;
    println!("{what}: peak {} MB", peak >> 20);
    assert!(peak < MOST, "{what}: the worker took {} MB", peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_inflates_to_hundreds_of_megabytes_is_refused_by_name() {
    let worker = worker("bomb");
    for codec in ["gzip", "lz4", "zstd"] {
        let topic = unique("bomb");
        lab().kafka().topics().create(&topic, 1).await;
        produce(&topic, 0, codec, 1, 200 << 20);
        refuses(&worker, &topic, codec).await;
    }
}

/// A sink that reads a topic fails over its first batch, for a reason that names place and limit, in little memory.
async fn refuses(worker: &Rowferry, topic: &str, what: &str) {
    read_all(worker, topic).await;
    let status = format!("/connectors/{topic}/status");
    let mut trace = String::new();
    for_condition(&format!("a task that refuses {what}"), SOON, async || {
        let body = worker.rest().get(&status).await.body;
        trace = body["tasks"][0]["trace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        body["tasks"][0]["state"] == "FAILED"
    })
    .await;
    assert!(
        trace.contains(topic) && trace.contains("offset 0"),
        "{what}: {trace}"
    );
    assert!(
        trace.contains("more than 64 MB when decompressed"),
        "{what}: {trace}"
    );
    worker.rest().remove(topic).await;
    assert_small(worker, what);
}

/// Snappy's form of so many bytes that inflate to about 21 times as many: a length, one letter, and copies of 64 letters.
fn snappy(bytes: usize) -> Vec<u8> {
    // the length takes four bytes, the last literal up to four
    let copies = (bytes - 6 - 4) / 3;
    let rest = bytes - 6 - 3 * copies - 1;
    let inflated = 1 + 64 * copies + rest;
    let mut out: Vec<u8> = (0..4)
        .map(|n| (inflated >> (7 * n)) as u8 & 0x7f | if n < 3 { 0x80 } else { 0 })
        .collect();
    out.extend(b"\0a");
    out.extend(b"\xfe\x01\0".repeat(copies));
    out.push(u8::try_from((rest - 1) << 2).unwrap());
    out.resize(out.len() + rest, b'b');
    assert_eq!(out.len(), bytes);
    out
}

/// A length of nearly 4 GB, and next to nothing.
const LIE: &[u8] = b"\xff\xff\xff\xff\x0f\0a";

/// Blocks in snappy-java's frame.
fn framed(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in blocks {
        out.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        out.extend(block);
    }
    out
}

/// Puts a batch of snappy in the place of the batch of one record whose value begins with `mark`.
fn put_in_place(answer: &mut [u8], mark: &[u8], bomb: &[u8]) {
    let begin = &answer[..answer.len().min(4096)];
    let Some(value) = begin.windows(mark.len()).position(|window| window == mark) else {
        return;
    };
    // the record begins with its length, attributes, two deltas, no key, and the value's length
    let varint = |n: usize| (1..).find(|bytes| 2 * n < 1 << (7 * bytes)).unwrap();
    let size = mark.len().max(bomb.len());
    let head = 4 + varint(size) + varint(size + 5 + varint(size));
    // magic, checksum, attributes and more are between a batch's length and its records
    let batch = value - head - 61;
    assert_eq!(answer[batch + 16], 2, "a batch of magic 2 begins there");
    answer[batch + 22] |= 2;
    let length = u32::from_be_bytes(answer[batch + 8..batch + 12].try_into().unwrap()) as usize;
    let records = &mut answer[batch + 61..batch + 12 + length];
    let bomb_at_its_end = &bomb[..bomb.len().min(records.len())];
    records[..bomb_at_its_end.len()].copy_from_slice(bomb_at_its_end);
}

/// No broker stores all of these: one that is in the hands of others sends them.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_snappy_that_inflates_or_claims_to_inflate_to_hundreds_of_megabytes_is_refused_by_name()
 {
    const BYTES: usize = 12 << 20;
    let proxy = KafkaProxy::start(lab().kafka()).await;
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique("snappy"), proxy.brokers()),
    );
    Usage::reset_peak(worker.pid());
    let block = 512 << 10;
    for (what, bomb) in [
        ("snappy", snappy(BYTES)),
        ("a claim of snappy", LIE.to_vec()),
        ("snappy-java", framed(&vec![snappy(block); BYTES / block])),
        ("a claim of snappy-java", framed(&[LIE.to_vec()])),
    ] {
        let topic = unique("snappy");
        let (topics, mark) = (lab().kafka().topics(), format!("the value of {topic}"));
        topics
            .create_with(&topic, 1, &[("max.message.bytes", "50000000")])
            .await;
        let mut client = topics.client();
        client.set("message.max.bytes", "50000000");
        let producer: BaseProducer = client.create().unwrap();
        let value = format!(
            "{mark}{}",
            "v".repeat(bomb.len().saturating_sub(mark.len()))
        );
        producer
            .send(BaseRecord::<str, str>::to(&topic).payload(&value))
            .map_err(|(error, _)| error)
            .unwrap();
        producer.flush(Duration::from_secs(60)).unwrap();
        let (mark, sent) = (mark.into_bytes(), bomb);
        proxy.tamper(move |answer| put_in_place(answer, &mark, &sent));
        refuses(&worker, &topic, what).await;
    }
}

/// 24 batches of 40 MB: each may be as large as that, and all come with one answer of the broker.
#[tokio::test(flavor = "multi_thread")]
async fn many_batches_that_may_be_large_are_read_one_after_the_other() {
    const PARTITIONS: i32 = 6;
    let worker = worker("swarm");
    for codec in ["gzip", "zstd", "lz4"] {
        let topic = unique("swarm");
        lab().kafka().topics().create(&topic, PARTITIONS).await;
        for partition in 0..PARTITIONS {
            for _ in 0..4 {
                produce(&topic, partition, codec, 1000, 40 << 10);
            }
        }
        read_all(&worker, &topic).await;
        for_condition(
            &format!("all of {codec} to be read"),
            Duration::from_secs(180),
            async || {
                let offsets = worker
                    .rest()
                    .get(&format!("/connectors/{topic}/offsets"))
                    .await
                    .body;
                let read = offsets["offsets"].as_array().into_iter().flatten();
                read.map(|of| of["offset"]["kafka_offset"].as_i64().unwrap_or(0))
                    .sum::<i64>()
                    == 4000 * i64::from(PARTITIONS)
            },
        )
        .await;
        worker.rest().remove(&topic).await;
        assert_small(&worker, codec);
    }
}
