//! Maps MariaDB's and MySQL's column types to Connect fields. Pure.
//!
//! Follows what Confluent's source makes of the types reported by the two JDBC drivers. Where those
//! drivers fail or garble a value, the value itself is carried.

use connector_api::SchemaType;

use crate::catalog::ColumnMeta;
use crate::dialect::read::{BigintUnsigned, ReadColumn, ReadOptions, ValueDecoding};

/// Returns how a column is read.
pub(crate) fn column(meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
    // A key column holds no NULL, whatever the catalog says of a view.
    let optional = meta.nullable && meta.key_position.is_none();
    match meta.data_type.as_str() {
        // Both drivers report NUMERIC columns as DECIMAL, which `numeric.mapping` does not affect.
        "decimal" | "numeric" => match (meta.precision, meta.scale) {
            (Some(precision), Some(scale)) => {
                ReadColumn::decimal(&meta.name, optional, precision, scale)
            }
            _ => ReadColumn {
                open_scale: width(meta),
                ..ReadColumn::decimal(&meta.name, optional, 10, 0)
            },
        },
        "bigint" if is_unsigned(meta) && options.bigint_unsigned == BigintUnsigned::Precise => {
            ReadColumn::decimal(&meta.name, optional, 20, 0)
        }
        _ => ReadColumn::new(&meta.name, optional, decoding(meta, options)),
    }
}

/// Returns how a column's values are read, other than decimals.
fn decoding(meta: &ColumnMeta, options: &ReadOptions) -> ValueDecoding {
    match meta.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => {
            integer(meta, options)
        }
        "bit" => bits(meta, options),
        "float" => ValueDecoding::F32,
        "double" | "real" => ValueDecoding::F64,
        "year" if options.year_is_date => {
            ValueDecoding::YearDate(options.calendar, options.mysql_driver)
        }
        "year" => ValueDecoding::Int(SchemaType::Int32),
        "date" => ValueDecoding::Date(options.calendar),
        "time" => ValueDecoding::Time(options.zone.clone()),
        "datetime" => options.timestamp(false),
        "timestamp" => options.timestamp(true),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            ValueDecoding::Bytes
        }
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => {
            ValueDecoding::Bytes
        }
        _ => ValueDecoding::Text,
    }
}

fn is_unsigned(meta: &ColumnMeta) -> bool {
    meta.column_type.contains("unsigned")
}

/// Returns how an integer is read. An unsigned one has the next wider type.
fn integer(meta: &ColumnMeta, options: &ReadOptions) -> ValueDecoding {
    let unsigned = is_unsigned(meta);
    // MySQL's driver reads an unsigned one as a number.
    let one_digit =
        meta.column_type.starts_with("tinyint(1)") && !(unsigned && options.mysql_driver);
    ValueDecoding::Int(match (meta.data_type.as_str(), unsigned) {
        ("tinyint", _) if options.bits_are_booleans && one_digit => return ValueDecoding::Bool,
        ("tinyint", false) => SchemaType::Int8,
        ("tinyint", true) | ("smallint", false) => SchemaType::Int16,
        ("smallint", true) | ("mediumint" | "int" | "integer", false) => SchemaType::Int32,
        ("bigint", true) if options.bigint_unsigned == BigintUnsigned::Text => {
            return ValueDecoding::Text;
        }
        _ => SchemaType::Int64,
    })
}

/// Returns how bits are read.
fn bits(meta: &ColumnMeta, options: &ReadOptions) -> ValueDecoding {
    let width = meta.precision.unwrap_or(1);
    if options.bits_are_booleans && !options.mysql_driver && width == 1 {
        ValueDecoding::Bool
    } else if options.mysql_driver || width <= 1 {
        // MySQL's driver reads wider ones as INT8 too, as far as their values fit.
        ValueDecoding::BitInt
    } else {
        ValueDecoding::Bytes
    }
}

/// Returns the display width of a decimal expression, which always counts a sign.
fn width(meta: &ColumnMeta) -> Option<i32> {
    let width = meta.length.and_then(|n| i32::try_from(n).ok())?;
    Some(if is_unsigned(meta) { width + 1 } else { width })
}

#[cfg(test)]
mod tests {
    use connector_api::{SchemaType, logical};

    use super::column;
    use crate::catalog::ColumnMeta;
    use crate::dialect::read::{ReadOptions, ValueDecoding};

    fn meta(column_type: &str, precision: Option<i32>, scale: Option<i32>) -> ColumnMeta {
        let data_type = column_type
            .split(['(', ' '])
            .next()
            .unwrap_or_default()
            .to_owned();
        ColumnMeta {
            name: "c".into(),
            column_type: column_type.into(),
            data_type,
            nullable: true,
            precision,
            scale,
            ..ColumnMeta::default()
        }
    }

    #[test]
    fn every_type_has_its_field() {
        let options = ReadOptions::default();
        for (text, precision, scale, want) in [
            ("tinyint(4)", None, None, SchemaType::Int8),
            ("tinyint(1)", None, None, SchemaType::Int8),
            ("tinyint(3) unsigned", None, None, SchemaType::Int16),
            ("smallint(6)", None, None, SchemaType::Int16),
            ("smallint(5) unsigned", None, None, SchemaType::Int32),
            ("mediumint(9)", None, None, SchemaType::Int32),
            ("int(10) unsigned zerofill", None, None, SchemaType::Int64),
            ("bigint(20) unsigned", None, None, SchemaType::Int64),
            ("float", None, None, SchemaType::Float32),
            ("double(10,2)", None, None, SchemaType::Float64),
            ("decimal(10,2)", Some(10), Some(2), SchemaType::Bytes),
            ("bit(1)", Some(1), None, SchemaType::Int8),
            ("bit(12)", Some(12), None, SchemaType::Bytes),
            ("year(4)", None, None, SchemaType::Int32),
            ("date", None, None, SchemaType::Int32),
            ("datetime(6)", None, None, SchemaType::Int64),
            ("timestamp", None, None, SchemaType::Int64),
            ("time(3)", None, None, SchemaType::Int32),
            ("varchar(10)", None, None, SchemaType::String),
            ("longtext", None, None, SchemaType::String),
            ("enum('a','b')", None, None, SchemaType::String),
            ("set('unsigned')", None, None, SchemaType::String),
            ("uuid", None, None, SchemaType::String),
            ("inet6", None, None, SchemaType::String),
            ("json", None, None, SchemaType::String),
            ("varbinary(5)", None, None, SchemaType::Bytes),
            ("point", None, None, SchemaType::Bytes),
        ] {
            let column = column(&meta(text, precision, scale), &options);
            assert_eq!(
                (column.schema.ty, column.schema.optional),
                (want, true),
                "{text}"
            );
        }
        let decimal = column(&meta("decimal(10,2)", Some(10), Some(2)), &options).schema;
        assert_eq!(
            (
                decimal.get_param(logical::SCALE),
                decimal.get_param(logical::PRECISION)
            ),
            (Some("2"), Some("10"))
        );
    }

    #[test]
    fn the_url_decides_where_the_drivers_differ() {
        let mysql = ReadOptions {
            mysql_driver: true,
            year_is_date: false,
            ..ReadOptions::default()
        };
        assert_eq!(
            column(&meta("bit(12)", Some(12), None), &mysql).read,
            ValueDecoding::BitInt
        );
        assert_eq!(
            column(&meta("year(4)", None, None), &mysql).read,
            ValueDecoding::Int(SchemaType::Int32)
        );
        for mysql_driver in [true, false] {
            let options = ReadOptions {
                mysql_driver,
                bits_are_booleans: true,
                ..ReadOptions::default()
            };
            let read = |ty: &str, precision| column(&meta(ty, precision, None), &options).read;
            assert_eq!(read("tinyint(1)", None), ValueDecoding::Bool);
            assert_eq!(
                read("tinyint(4)", None),
                ValueDecoding::Int(SchemaType::Int8)
            );
            assert_eq!(
                read("tinyint(1) unsigned", None) == ValueDecoding::Bool,
                !mysql_driver
            );
            assert_eq!(
                read("bit(1)", Some(1)) == ValueDecoding::Bool,
                !mysql_driver
            );
            assert_ne!(read("bit(8)", Some(8)), ValueDecoding::Bool);
        }
    }
}
