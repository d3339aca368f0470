//! `/connectors/{c}/offsets` (KIP-875): read, alter, reset.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use connector_api::{
    OffsetValue, SourceOffset, SourcePartition, SourcePosition, TopicOffset, TopicPartition,
};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::{JsonBody, discard};
use super::error::{ApiError, ApiResult, OffsetFault};
use super::path::Path;
use crate::herder::{Direction, HerderRefusal, OffsetChange, OffsetListing};
use crate::model::{ConnectorOffsets, Message, OffsetEntry, TargetState};

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(read, alter, reset))
}

/// Returns the offsets of a connector.
#[utoipa::path(get, path = "/connectors/{connector}/offsets", tag = "offsets", responses((status = 200, body = ConnectorOffsets)))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<ConnectorOffsets>> {
    let entries = match app.herder.offsets(&name).await? {
        OffsetListing::Source(positions) => positions
            .iter()
            .map(|p| OffsetEntry {
                partition: Some(object(&p.partition.0)),
                offset: p.offset.as_ref().map(|offset| object(&offset.0)),
            })
            .collect(),
        OffsetListing::Sink(offsets) => offsets.iter().map(sink_entry).collect(),
    };
    Ok(Json(ConnectorOffsets {
        offsets: Some(entries),
    }))
}

/// Changes offsets of a stopped connector; a null offset deletes the offset of its partition.
#[utoipa::path(patch, path = "/connectors/{connector}/offsets", tag = "offsets", request_body = ConnectorOffsets, responses((status = 200, body = Message)))]
async fn alter(
    State(app): State<RestState>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<ConnectorOffsets>,
) -> ApiResult<Json<Message>> {
    let entries = body
        .offsets
        .filter(|entries| !entries.is_empty())
        .ok_or_else(ApiError::no_offsets)?;
    let view = app.herder.get(&name).await?;
    if view.target != TargetState::Stopped {
        return Err(HerderRefusal::NotStopped(name).into());
    }
    let change = match view.direction {
        Direction::Sink => entries
            .iter()
            .map(sink_change)
            .collect::<Result<_, _>>()
            .map(OffsetChange::Sink),
        Direction::Source | Direction::Unknown => entries
            .iter()
            .map(source_change)
            .collect::<Result<_, _>>()
            .map(OffsetChange::Source),
    };
    let change = change.map_err(|fault| ApiError::bad_offset(&fault))?;
    let kept = app.herder.change_offsets(&name, change).await?;
    Ok(done(kept, "altered"))
}

/// Deletes all offsets of a stopped connector: it starts from the beginning.
#[utoipa::path(delete, path = "/connectors/{connector}/offsets", tag = "offsets", responses((status = 200, body = Message)))]
async fn reset(
    State(app): State<RestState>,
    Path(name): Path<String>,
    body: Body,
) -> ApiResult<Json<Message>> {
    discard(body).await?;
    let kept = app
        .herder
        .change_offsets(&name, OffsetChange::Reset)
        .await?;
    Ok(done(kept, "reset"))
}

/// Kafka Connect's two texts: the connector manages offsets itself, or only the framework does.
fn done(by_connector: bool, what: &str) -> Json<Message> {
    let message = if by_connector {
        format!("The offsets for this connector have been {what} successfully")
    } else {
        format!(
            "The Connect framework-managed offsets for this connector have been {what} successfully. However, if this \
             connector manages offsets externally, they will need to be manually {what} in the system that the \
             connector uses."
        )
    };
    Json(Message { message })
}

fn sink_entry(at: &TopicOffset) -> OffsetEntry {
    OffsetEntry {
        partition: Some(Map::from_iter([
            ("kafka_partition".to_owned(), at.partition.into()),
            ("kafka_topic".to_owned(), (*at.topic).into()),
        ])),
        offset: Some(Map::from_iter([(
            "kafka_offset".to_owned(),
            at.offset.into(),
        )])),
    }
}

fn object(members: &[(String, OffsetValue)]) -> Map<String, Value> {
    members
        .iter()
        .map(|(name, value)| (name.clone(), json(value)))
        .collect()
}

pub(super) fn json(value: &OffsetValue) -> Value {
    match value {
        OffsetValue::Null => Value::Null,
        OffsetValue::Bool(b) => (*b).into(),
        OffsetValue::Long(n) => (*n).into(),
        OffsetValue::Double(n) => (*n).into(),
        OffsetValue::Text(text) => text.as_str().into(),
    }
}

fn source_change(entry: &OffsetEntry) -> Result<SourcePosition, OffsetFault> {
    let partition = entry
        .partition
        .as_ref()
        .filter(|members| !members.is_empty())
        .ok_or(OffsetFault::EmptyPartition)?;
    Ok(SourcePosition {
        partition: SourcePartition(members(partition)?),
        offset: entry
            .offset
            .as_ref()
            .map(members)
            .transpose()?
            .map(SourceOffset),
    })
}

fn members(object: &Map<String, Value>) -> Result<Vec<(String, OffsetValue)>, OffsetFault> {
    object
        .iter()
        .map(|(name, value)| Ok((name.clone(), primitive(name, value)?)))
        .collect()
}

fn primitive(field: &str, value: &Value) -> Result<OffsetValue, OffsetFault> {
    match value {
        Value::Null => Ok(OffsetValue::Null),
        Value::Bool(b) => Ok(OffsetValue::Bool(*b)),
        Value::Number(n) => Ok(n.as_i64().map_or(
            OffsetValue::Double(n.as_f64().unwrap_or(f64::NAN)),
            OffsetValue::Long,
        )),
        Value::String(text) => Ok(OffsetValue::Text(text.clone())),
        Value::Array(_) => Err(OffsetFault::NotPrimitive {
            field: field.to_owned(),
            kind: "ARRAY",
        }),
        Value::Object(_) => Err(OffsetFault::NotPrimitive {
            field: field.to_owned(),
            kind: "MAP",
        }),
    }
}

fn sink_change(entry: &OffsetEntry) -> Result<(TopicPartition, Option<i64>), OffsetFault> {
    let partition = entry.partition.as_ref().ok_or(OffsetFault::NoPartition)?;
    let (Some(topic), Some(number)) = (
        partition.get("kafka_topic"),
        partition.get("kafka_partition"),
    ) else {
        return Err(OffsetFault::SinkKeys);
    };
    let topic = topic.as_str().ok_or(OffsetFault::Topic)?;
    if number.is_null() {
        return Err(OffsetFault::PartitionNull);
    }
    let partition: i32 = whole(number).map_err(OffsetFault::Partition)?;
    if partition < 0 {
        return Err(OffsetFault::Negative {
            what: "partition",
            value: partition.into(),
        });
    }
    let offset = match &entry.offset {
        None => None,
        Some(members) => {
            let value = members.get("kafka_offset").ok_or(OffsetFault::OffsetKey)?;
            Some(whole::<i64>(value).map_err(OffsetFault::Offset)?)
        }
    };
    if let Some(value) = offset.filter(|offset| *offset < 0) {
        return Err(OffsetFault::Negative {
            what: "offset",
            value,
        });
    }
    Ok((
        TopicPartition {
            topic: topic.into(),
            partition,
        },
        offset,
    ))
}

/// Parses an integer, given as a number or as text. Errors: what was given instead.
fn whole<T: std::str::FromStr>(value: &Value) -> Result<T, String> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse().map_err(|_| text)
}

#[cfg(test)]
mod tests {
    use connector_api::OffsetValue;

    use super::{OffsetFault, sink_change, source_change};
    use crate::model::OffsetEntry;

    fn entry(text: &str) -> OffsetEntry {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn sink_offsets_may_be_text_and_must_be_whole() {
        let (at, offset) = sink_change(&entry(
            r#"{"partition":{"kafka_topic":"t","kafka_partition":"1"},"offset":{"kafka_offset":"9"}}"#,
        ))
        .unwrap();
        assert_eq!((&*at.topic, at.partition, offset), ("t", 1, Some(9)));
        for (text, want) in [
            (r#"{"offset":null}"#, OffsetFault::NoPartition),
            (
                r#"{"partition":{"kafka_topic":"t"}}"#,
                OffsetFault::SinkKeys,
            ),
            (
                r#"{"partition":{"kafka_topic":null,"kafka_partition":0}}"#,
                OffsetFault::Topic,
            ),
            (
                r#"{"partition":{"kafka_topic":"t","kafka_partition":null}}"#,
                OffsetFault::PartitionNull,
            ),
            (
                r#"{"partition":{"kafka_topic":"t","kafka_partition":1.5}}"#,
                OffsetFault::Partition("1.5".into()),
            ),
            (
                r#"{"partition":{"kafka_topic":"t","kafka_partition":0},"offset":{}}"#,
                OffsetFault::OffsetKey,
            ),
            (
                r#"{"partition":{"kafka_topic":"t","kafka_partition":0},"offset":{"kafka_offset":null}}"#,
                OffsetFault::Offset("null".into()),
            ),
        ] {
            assert_eq!(sink_change(&entry(text)).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn source_offsets_are_flat() {
        let position = source_change(&entry(
            r#"{"partition":{"table":"t"},"offset":{"a":1,"b":"x"}}"#,
        ))
        .unwrap();
        assert_eq!(
            position.partition.get("table"),
            Some(&OffsetValue::Text("t".into()))
        );
        assert_eq!(
            position.offset.unwrap().get("a"),
            Some(&OffsetValue::Long(1))
        );
        let nested =
            source_change(&entry(r#"{"partition":{"table":"t"},"offset":{"a":{}}}"#)).unwrap_err();
        assert_eq!(
            nested,
            OffsetFault::NotPrimitive {
                field: "a".into(),
                kind: "MAP"
            }
        );
        assert_eq!(
            source_change(&entry(r#"{"partition":{}}"#)).unwrap_err(),
            OffsetFault::EmptyPartition
        );
    }
}
