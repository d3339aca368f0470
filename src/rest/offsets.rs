//! `/connectors/{c}/offsets` (KIP-875).

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use connector_api::{OffsetValue, TopicOffset};
use serde_json::{Map, Value};

use super::App;
use super::error::ApiResult;
use crate::herder::Offsets;
use crate::model::{ConnectorOffsets, OffsetEntry};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/connectors/{connector}/offsets", get(read))
}

async fn read(State(app): State<App>, Path(name): Path<String>) -> ApiResult<Json<ConnectorOffsets>> {
    let entries = match app.herder.offsets(&name).await? {
        Offsets::Source(positions) => positions
            .iter()
            .map(|p| OffsetEntry {
                partition: Some(object(&p.partition.0)),
                offset: p.offset.as_ref().map(|offset| object(&offset.0)),
            })
            .collect(),
        Offsets::Sink(offsets) => offsets.iter().map(sink_entry).collect(),
    };
    Ok(Json(ConnectorOffsets { offsets: Some(entries) }))
}

fn sink_entry(at: &TopicOffset) -> OffsetEntry {
    OffsetEntry {
        partition: Some(Map::from_iter([
            ("kafka_partition".to_owned(), at.partition.into()),
            ("kafka_topic".to_owned(), (*at.topic).into()),
        ])),
        offset: Some(Map::from_iter([("kafka_offset".to_owned(), at.offset.into())])),
    }
}

fn object(members: &[(String, OffsetValue)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &OffsetValue) -> Value {
    match value {
        OffsetValue::Null => Value::Null,
        OffsetValue::Bool(b) => (*b).into(),
        OffsetValue::Long(n) => (*n).into(),
        OffsetValue::Double(n) => (*n).into(),
        OffsetValue::Text(text) => text.as_str().into(),
    }
}
