//! The columns that records fill, and those that a configuration adds for headers and a record's
//! coordinates. Pure.

use std::sync::Arc;

use connector_api::{Schema, SchemaType};

/// Names of the key columns of `pk.mode=kafka`, unless `pk.fields` gives three others.
pub(crate) const KAFKA_COLUMNS: [&str; 3] =
    ["__connect_topic", "__connect_partition", "__connect_offset"];

/// Where a column's value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSlot {
    /// The whole key.
    Key,
    /// A field of the key's struct.
    KeyField(usize),
    /// The whole value.
    Value,
    /// A field of the value's struct.
    ValueField(usize),
    Topic,
    Partition,
    Offset,
    Timestamp,
    /// The last header of that name, as text.
    Header(Arc<str>),
}

/// One column that a record fills.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordColumn {
    /// The column's name.
    pub name: Arc<str>,
    /// The field's name in the record, which `quote.sql.identifiers=never` may fold.
    pub field: Arc<str>,
    pub schema: Arc<Schema>,
    /// True if it is part of the primary key.
    pub key: bool,
    pub slot: ValueSlot,
}

/// Returns a column that holds a header.
pub(crate) fn header_column(header: &str, column: &str, key: bool) -> RecordColumn {
    let schema = Arc::new(Schema::of(SchemaType::String).optional(!key));
    RecordColumn {
        name: Arc::from(column),
        field: Arc::from(column),
        schema,
        key,
        slot: ValueSlot::Header(Arc::from(header)),
    }
}

/// Returns a column that holds a record's `topic`, `partition`, `offset` or `timestamp`.
pub(crate) fn origin_column(origin: &str, column: Option<&str>) -> Option<RecordColumn> {
    let (slot, name, schema) = match origin {
        "topic" => (
            ValueSlot::Topic,
            KAFKA_COLUMNS[0],
            Schema::of(SchemaType::String),
        ),
        "partition" => (
            ValueSlot::Partition,
            KAFKA_COLUMNS[1],
            Schema::of(SchemaType::Int32),
        ),
        "offset" => (
            ValueSlot::Offset,
            KAFKA_COLUMNS[2],
            Schema::of(SchemaType::Int64),
        ),
        "timestamp" => (
            ValueSlot::Timestamp,
            "__connect_timestamp",
            Schema::timestamp(),
        ),
        _ => return None,
    };
    let (name, schema): (Arc<str>, _) = (
        Arc::from(column.unwrap_or(name)),
        Arc::new(schema.optional(true)),
    );
    Some(RecordColumn {
        field: Arc::clone(&name),
        name,
        schema,
        key: false,
        slot,
    })
}
