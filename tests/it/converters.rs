//! Converters and headers of single connectors, through real Kafka.

use serde_json::{Value, json};
use sqlx::Row;
use testkit::mariadb::{count, rows, run};
use testkit::{for_condition, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

const TABLE: &str =
    "CREATE TABLE people (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL)";
const ROWS: &str = "INSERT INTO people (name) VALUES ('Ann'), ('Zoë')";

#[tokio::test]
async fn headers_go_from_the_source_into_the_topic_and_from_the_topic_into_the_sink() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "headers", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let source = json!({
        "transforms": "number,who",
        "transforms.number.type": "InsertHeader", "transforms.number.header": "number", "transforms.number.value.literal": "300",
        "transforms.who.type": "HeaderFrom$Value", "transforms.who.fields": "name", "transforms.who.headers": "who",
        "transforms.who.operation": "copy",
    });
    let sink = json!({
        "transforms": "e", "transforms.e.type": "rowferry.transforms.Expression",
        "transforms.e.fields": "who:string,number:int16,extra:string",
        "transforms.e.set.who": "headers.who", "transforms.e.set.number": "headers.number + 1", "transforms.e.set.extra": "headers.extra",
    });
    pipeline.create(worker.rest(), server, source, sink).await;
    pipeline.wait_arrived(&mut connection, 2, SOON).await;
    let topic = pipeline.topic();
    let read = lab().kafka().topics().read(&topic);
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    for (entry, name) in read.iter().zip(["Ann", "Zoë"]) {
        assert_eq!(
            entry.headers,
            [
                ("number".to_owned(), bytes("300")),
                ("who".to_owned(), bytes(name))
            ]
        );
    }
    let select = format!(
        "SELECT who, CAST(number AS SIGNED), extra FROM `{}`.`{topic}` ORDER BY id",
        pipeline.copy
    );
    let found = rows(&mut connection, &select).await;
    let found: Vec<(String, i64, Option<String>)> = found
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect();
    assert_eq!(
        found,
        [("Ann".to_owned(), 301, None), ("Zoë".to_owned(), 301, None)]
    );
    pipeline.remove(worker.rest()).await;
}

#[tokio::test]
async fn each_connector_has_converters_of_its_own() {
    let (server, worker) = (lab().mariadb(), lab().worker());
    let (pipeline, mut connection) = Pipeline::new(server, "own_converters", "people").await;
    run(&mut connection, TABLE).await;
    run(&mut connection, ROWS).await;
    let source = json!({
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "JsonConverter", "value.converter.schemas.enable": "false",
        "header.converter": "org.apache.kafka.connect.storage.StringConverter", "header.converter.converter.encoding": "UTF-16BE",
        "transforms": "key,h", "transforms.key.type": "ExtractField$Key", "transforms.key.field": "id",
        "transforms.h.type": "InsertHeader", "transforms.h.header": "h", "transforms.h.value.literal": "a",
    });
    let rest = worker.rest();
    rest.create(&pipeline.source_name(), &pipeline.source(server, source))
        .await;
    let read = lab()
        .kafka()
        .topics()
        .wait_for(&pipeline.topic(), 2, SOON)
        .await;
    assert_eq!(read[1].key_text(), "2");
    assert_eq!(read[1].text(), "{\"id\":2,\"name\":\"Zoë\"}");
    assert_eq!(read[1].headers, [("h".to_owned(), Some(vec![0, b'a']))]);

    // The sink's key is text, its value the worker's default with a sub-key of the sink's alone.
    let topic = unique("own_sink");
    let topics = lab().kafka().topics();
    topics.create(&topic, 1).await;
    let value = |schema: bool| {
        let payload = json!({"name": "by hand", "price": "not-base64!"});
        let fields = json!([{"type": "string", "field": "name"}]);
        if schema {
            json!({"schema": {"type": "struct", "fields": fields}, "payload": payload})
        } else {
            payload
        }
        .to_string()
    };
    topics.produce(&topic, &[(Some("key-1"), Some(&value(true)))]);
    let sink = json!({
        "topics": topic, "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "pk.mode": "record_key", "pk.fields": "k", "insert.mode": "upsert",
    });
    rest.create(&pipeline.sink_name(), &pipeline.sink(server, sink))
        .await;
    let sql = format!(
        "SELECT COUNT(*) FROM `{}`.`{topic}` WHERE k = 'key-1' AND name = 'by hand'",
        pipeline.copy
    );
    for_condition("the row of the topic", SOON, async || {
        count(&mut connection, &sql).await == 1
    })
    .await;

    // Without an envelope the same converter refuses the record, and the connector's own sub-key is why.
    topics.produce(&topic, &[(Some("key-2"), Some(&value(false)))]);
    let status: Value = rest.wait_state(&pipeline.sink_name(), "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
    assert!(
        trace.contains("schemas.enable")
            && trace.contains("VALUE_CONVERTER")
            && !trace.contains("by hand"),
        "{trace}"
    );
    pipeline.remove(rest).await;
}
