//! Bodies about tables that are read again.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `POST /v1/connectors/{c}/rereads`: a table, or a range of its primary key, to be read again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartReread {
    /// The table; its name alone if no other table of the connector has it.
    pub table: String,
    /// The first key: values of all columns of the primary key, or of its first ones. A single value
    /// need not be in a list. Without it, from the beginning.
    #[serde(
        default,
        deserialize_with = "one_or_several",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub from: Vec<Value>,
    /// The last key, which is read too. Without it, to the end.
    #[serde(
        default,
        deserialize_with = "one_or_several",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub to: Vec<Value>,
}

/// `GET /v1/connectors/{c}/rereads`: a table that is read again, or has been since its task was
/// started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reread {
    /// The table.
    pub table: String,
    /// Number of its task.
    pub task: u32,
    /// `running`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// The first key; empty: from the beginning.
    pub from: Vec<Value>,
    /// The last key; empty: to the end.
    pub to: Vec<Value>,
    /// Key of the last row that has been handed on.
    pub reached: Vec<Value>,
    /// Rows that have been handed on.
    pub rows: u64,
    /// Percentage of the rows, as estimated; null where it is not known.
    pub percent: Option<f64>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Null => Vec::new(),
        Value::Array(values) => values,
        value => vec![value],
    })
}
