//! Maps PostgreSQL's column types to Connect fields. Pure.
//!
//! Follows what Confluent's source makes of the types reported by the JDBC driver. Types that it
//! skips are carried as text, with a warning.

use connector_api::{Schema, SchemaType, logical};

use crate::catalog::ColumnMeta;
use crate::dialect::read::{NumericMapping, ReadColumn, ReadOptions, ValueDecoding, numeric};
use crate::zone::JdbcTimeZone;

/// Scale used for a numeric without one; what the JDBC driver's -127 ends up as.
const UNBOUNDED_SCALE: i32 = 127;

/// The largest scale, of either sign, with which a numeric can be declared; larger ones in the
/// catalog are ignored.
const MAX_SCALE: u32 = 1000;

/// Returns how a column is read.
pub(crate) fn column(meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
    let optional = meta.nullable && meta.key_position.is_none();
    let of = |read| ReadColumn::new(&meta.name, optional, read);
    let as_text = || of(ValueDecoding::Text).selected("", "::pg_catalog.text");
    match meta.data_type.as_str() {
        "bool" => of(ValueDecoding::Bool),
        "int2" => of(ValueDecoding::Int(SchemaType::Int16)),
        "int4" => of(ValueDecoding::Int(SchemaType::Int32)),
        "int8" => of(ValueDecoding::Int(SchemaType::Int64)),
        "oid" => of(ValueDecoding::Int(SchemaType::Int64)).selected("", "::pg_catalog.int8"),
        "float4" => of(ValueDecoding::F32),
        "float8" => of(ValueDecoding::F64),
        "money" => of(ValueDecoding::F64).selected("", "::pg_catalog.numeric::pg_catalog.float8"),
        "numeric" => decimal(meta, optional, options.numeric).selected("", "::pg_catalog.text"),
        "text" | "varchar" | "bpchar" | "name" => of(ValueDecoding::Text),
        "uuid" | "json" | "jsonb" | "xml" | "enum" => as_text(),
        "bytea" => of(ValueDecoding::Bytes),
        "bit" if meta.length == Some(1) => of(ValueDecoding::Bool),
        "bit" if meta.length.is_some_and(|bits| bits <= 8) => of(ValueDecoding::BitInt),
        "bit" => ReadColumn {
            bits: true,
            ..of(ValueDecoding::Bytes)
        },
        "date" => of(ValueDecoding::Date(options.calendar)),
        "time" => of(ValueDecoding::Time(options.zone.clone())),
        "timetz" => of(ValueDecoding::Time(JdbcTimeZone::default()))
            .selected("(", " AT TIME ZONE 'UTC')::pg_catalog.time"),
        "timestamp" => of(options.timestamp(false)),
        "timestamptz" => of(options.timestamp(true)),
        other => {
            let shown = if other.contains('"') {
                meta.column_type.as_str()
            } else {
                other
            };
            let warning = format!("column {} of type {shown} is emitted as text", meta.name);
            ReadColumn {
                warning: Some(warning),
                ..as_text()
            }
        }
    }
}

/// A numeric with precision and scale is a decimal of that scale; one without gets the scale 127
/// and values with that many digits, as in Confluent's source.
fn decimal(meta: &ColumnMeta, optional: bool, mapping: NumericMapping) -> ReadColumn {
    let bounds = meta
        .precision
        .zip(meta.scale)
        .filter(|(_, scale)| scale.unsigned_abs() <= MAX_SCALE);
    let (precision, scale) = bounds.unwrap_or((0, 0));
    let column = numeric(&meta.name, optional, precision, scale, mapping);
    if column.read != ValueDecoding::Decimal || (bounds.is_some() && scale >= 0) {
        return column;
    }
    let scale = if bounds.is_some() {
        scale
    } else {
        UNBOUNDED_SCALE
    };
    let schema = Schema::decimal(scale)
        .param(logical::PRECISION, &precision.to_string())
        .optional(optional);
    ReadColumn {
        schema: schema.into(),
        read: ValueDecoding::Scaled(scale),
        ..column
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{SchemaType, logical};

    use super::column;
    use crate::catalog::ColumnMeta;
    use crate::dialect::read::{NumericMapping, ReadOptions, ValueDecoding};

    fn meta(data_type: &str, length: Option<u64>) -> ColumnMeta {
        ColumnMeta {
            name: "c".into(),
            data_type: data_type.into(),
            length,
            nullable: true,
            ..ColumnMeta::default()
        }
    }

    #[test]
    fn every_type_has_its_field() {
        for (data_type, length, want, warned) in [
            ("bool", None, SchemaType::Boolean, false),
            ("int2", None, SchemaType::Int16, false),
            ("int8", None, SchemaType::Int64, false),
            ("oid", None, SchemaType::Int64, false),
            ("float4", None, SchemaType::Float32, false),
            ("money", None, SchemaType::Float64, false),
            ("numeric", None, SchemaType::Bytes, false),
            ("bit", Some(1), SchemaType::Boolean, false),
            ("bit", Some(8), SchemaType::Int8, false),
            ("bit", Some(12), SchemaType::Bytes, false),
            ("date", None, SchemaType::Int32, false),
            ("timestamptz", None, SchemaType::Int64, false),
            ("timetz", None, SchemaType::Int32, false),
            ("jsonb", None, SchemaType::String, false),
            ("inet", None, SchemaType::String, true),
            ("_int4", None, SchemaType::String, true),
        ] {
            let column = column(&meta(data_type, length), &ReadOptions::default());
            assert_eq!(
                (column.schema.ty, column.warning.is_some()),
                (want, warned),
                "{data_type}"
            );
        }
    }

    #[test]
    fn a_numeric_without_scale_has_127_digits_after_the_point() {
        let unbounded = column(&meta("numeric", None), &ReadOptions::default());
        assert_eq!(unbounded.read, ValueDecoding::Scaled(127));
        assert_eq!(unbounded.schema.get_param(logical::SCALE), Some("127"));
        assert_eq!(unbounded.schema.get_param(logical::PRECISION), Some("0"));
        let mapped = ReadOptions {
            numeric: NumericMapping::BestFit,
            ..ReadOptions::default()
        };
        assert_eq!(
            column(&meta("numeric", None), &mapped).read,
            ValueDecoding::DecimalInt(SchemaType::Int8)
        );
        let negative = ColumnMeta {
            precision: Some(3),
            scale: Some(-2),
            ..meta("numeric", None)
        };
        assert_eq!(
            column(&negative, &ReadOptions::default()).read,
            ValueDecoding::Scaled(-2)
        );
    }
}
