//! Batches that are small on the wire and huge when they are inflated: the worker's memory stays bounded, whatever they are
//! compressed by and however many there are.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use testkit::{MariaDb, Rowferry, Settings, Usage, for_condition, unique};

use crate::{SOON, lab};

/// What a worker may take at most meanwhile.
const MOST: u64 = 500 * 1024 * 1024;

/// Writes records of so many bytes of one letter, all in one batch.
fn produce(topic: &str, partition: i32, codec: &str, records: usize, bytes: usize) {
    let mut client = lab().kafka().topics().client();
    client.set("compression.type", codec).set("message.max.bytes", "1000000000").set("linger.ms", "1000");
    client.set("batch.size", "900000000").set("queue.buffering.max.kbytes", "2097151").set("partitioner", "random");
    let producer: BaseProducer = client.create().unwrap();
    let value = "a".repeat(bytes);
    for _ in 0..records {
        let record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&value);
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
    let worker = Rowferry::start(lab().scratch(), Settings::serve(&unique(name), lab().kafka().brokers()));
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
        read_all(&worker, &topic).await;
        let status = format!("/connectors/{topic}/status");
        let mut trace = String::new();
        for_condition(&format!("a task that refuses {codec}"), SOON, async || {
            let body = worker.rest().get(&status).await.body;
            trace = body["tasks"][0]["trace"].as_str().unwrap_or_default().to_owned();
            body["tasks"][0]["state"] == "FAILED"
        })
        .await;
        assert!(trace.contains(&topic) && trace.contains("offset 0") && trace.contains("inflate"), "{trace}");
        worker.rest().remove(&topic).await;
        assert_small(&worker, codec);
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
        for_condition(&format!("all of {codec} to be read"), Duration::from_secs(180), async || {
            let offsets = worker.rest().get(&format!("/connectors/{topic}/offsets")).await.body;
            let read = offsets["offsets"].as_array().into_iter().flatten();
            read.map(|of| of["offset"]["kafka_offset"].as_i64().unwrap_or(0)).sum::<i64>()
                == 4000 * i64::from(PARTITIONS)
        })
        .await;
        worker.rest().remove(&topic).await;
        assert_small(&worker, codec);
    }
}
