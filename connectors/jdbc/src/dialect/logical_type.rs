//! Schemas whose values are more than their plain type says: Connect's logical types, and the texts
//! that the sink makes. Pure.

use connector_api::{Schema, SchemaType, logical};

/// Schema name of texts that hold JSON, which the sink makes of nested values.
pub(crate) const JSON: &str = "rowferry.Json";
/// Schema name of texts that are SQL dates.
pub(crate) const DATE: &str = "rowferry.Date";
/// Schema name of texts that are SQL times, with microseconds.
pub(crate) const TIME: &str = "rowferry.Time";
/// Schema name of texts that are SQL date-times, with microseconds.
pub(crate) const DATE_TIME: &str = "rowferry.DateTime";
/// Schema name of texts that are decimal numbers.
pub(crate) const NUMBER: &str = "rowferry.Number";

/// Prefix of the schema names of Debezium's geometries.
const GEOMETRY: &str = "io.debezium.data.geometry.";

/// True for the schemas of Debezium's geometries: structs with the Well-Known Binary of a shape.
pub(crate) fn is_geometry(schema: &Schema) -> bool {
    schema.ty == SchemaType::Struct
        && schema
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with(GEOMETRY))
}

/// The JDBC driver's values for PostgreSQL's `infinity` and `-infinity`, in milliseconds. Debezium
/// has the same in microseconds.
pub(crate) const INFINITE_MILLIS: (i64, i64) =
    (9_223_372_036_825_200_000, -9_223_372_036_832_400_000);
/// PostgreSQL's words for times after and before all others.
pub(crate) const INFINITE: (&str, &str) = ("infinity", "-infinity");

/// Connect's logical types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogicalType {
    /// Decimal of that scale.
    Decimal(i32),
    Date,
    Time,
    Timestamp,
    None,
}

impl LogicalType {
    /// Returns the logical type of a schema.
    pub(crate) fn of(schema: &Schema) -> Self {
        match (schema.name.as_deref(), schema.ty) {
            (Some(logical::DECIMAL), SchemaType::Bytes) => Self::Decimal(
                schema
                    .get_param(logical::SCALE)
                    .and_then(|s| s.parse().ok())
                    .unwrap_or(0),
            ),
            (Some(logical::DATE), SchemaType::Int32) => Self::Date,
            (Some(logical::TIME), SchemaType::Int32) => Self::Time,
            (Some(logical::TIMESTAMP), SchemaType::Int64) => Self::Timestamp,
            _ => Self::None,
        }
    }
}
