//! Configs of other classes mean what their own documentation says.

use connector_api::{Datum, ErrorKind, Schema, SchemaType, Value};

use super::{Database, Server, event, field, int, structure, t, text};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

const DEBEZIUM: (&str, &str) = (
    "connector.class",
    "io.debezium.connector.jdbc.JdbcSinkConnector",
);
const KEYS: [(&str, &str); 5] = [
    DEBEZIUM,
    ("insert.mode", "upsert"),
    ("delete.enabled", "true"),
    ("primary.key.mode", "record_key"),
    ("schema.evolution", "basic"),
];

#[tokio::test]
async fn debeziums_class_makes_one_name_of_a_topic_with_dots() {
    for server in ALL {
        let mut database = Database::new(*server, &KEYS).await;
        let topic = Topic::new("srv.public.users");
        let one = event(&topic, 1, "r", None, Some(vec![Value::I32(1), t("Ann")]));
        database.write(&topic, &[&[one]]).await;
        assert_eq!(
            database.rows("SELECT id, name FROM srv_public_users").await,
            ["1|Ann"],
            "{server:?}"
        );
    }
}

#[tokio::test]
async fn a_tables_name_may_be_made_of_where_the_row_comes_from() {
    for server in ALL {
        for class in [DEBEZIUM.1, "JdbcSink"] {
            let keys = [
                &KEYS[1..],
                &[
                    ("connector.class", class),
                    ("collection.name.format", "x_${source.table}"),
                ],
            ];
            let mut database = Database::new(*server, &keys.concat()).await;
            let topic = Topic::new("all.changes");
            let put =
                |id, name: &str| event(&topic, id, "c", None, Some(vec![Value::I32(id), t(name)]));
            let gone = event(&topic, 2, "d", Some(vec![Value::I32(2), t("Bob")]), None);
            let tombstone = topic.record(super::id_key(1), Datum::NONE);
            database
                .write(
                    &topic,
                    &[&[put(1, "Ann"), put(2, "Bob")], &[gone, tombstone]],
                )
                .await;
            assert_eq!(
                database.rows("SELECT id, name FROM x_t").await,
                ["1|Ann"],
                "{server:?} {class}"
            );
            assert!(!database.has("all_changes").await);

            let flat = topic.record(super::id_key(3), structure(&[text("name")], [t("Cid")]));
            let error = database.put(&topic, &[&[flat]]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Record);
            assert!(error.message().contains("source.table"), "{error}");
        }
    }
}

#[tokio::test]
async fn debeziums_class_skips_tombstones_and_understands_its_types_everywhere() {
    for server in ALL {
        let mut database = Database::new(*server, &[DEBEZIUM]).await;
        let topic = Topic::new("a.t");
        let stamp = Schema {
            name: Some("io.debezium.time.Date".into()),
            ..Schema::of(SchemaType::Int32)
        };
        let value = structure(
            &[int("Id"), field("on_day", stamp)],
            [Value::I32(1), Value::I32(19_000)],
        );
        let row = topic.record(super::id_key(1), value);
        database
            .write(
                &topic,
                &[&[row, topic.record(super::id_key(1), Datum::NONE)]],
            )
            .await;
        // names are not quoted there, so PostgreSQL folds them
        let id = if *server == Server::Postgres {
            "id"
        } else {
            "Id"
        };
        assert_eq!(database.names("a_t").await[0], id, "{server:?}");
        assert_eq!(
            database.select(&format!("{id}, on_day"), "FROM a_t").await,
            ["1|2022-01-08"],
            "{server:?}"
        );
    }
}
