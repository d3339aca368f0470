//! Maps SQLite's declared column types to Connect fields. Pure.
//!
//! Integer and text names mean the same as elsewhere; INTEGER is SQLite's own, of 64 bits. An
//! unknown name follows SQLite's rules of affinity ("Datatypes In SQLite", 3.1).

use connector_api::SchemaType;

use crate::catalog::ColumnMeta;
use crate::dialect::read::{ReadColumn, ReadOptions, ValueDecoding, numeric};

/// Returns how a column is read.
pub(crate) fn column(meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
    let optional = meta.nullable && meta.key_position.is_none();
    let of = |read| ReadColumn::new(&meta.name, optional, read);
    match meta.data_type.as_str() {
        "boolean" | "bool" => of(ValueDecoding::Bool),
        "tinyint" => of(ValueDecoding::Int(SchemaType::Int8)),
        "smallint" | "int2" => of(ValueDecoding::Int(SchemaType::Int16)),
        "int" | "mediumint" | "int4" => of(ValueDecoding::Int(SchemaType::Int32)),
        "date" => of(ValueDecoding::Date(options.calendar)),
        "time" => of(ValueDecoding::Time(options.zone.clone())),
        // Their affinity is numeric, which leaves BLOBs unchanged.
        "binary" | "varbinary" => of(ValueDecoding::Bytes),
        "datetime" | "timestamp" => of(options.timestamp(false)),
        name => match affinity(name) {
            "integer" => of(ValueDecoding::Int(SchemaType::Int64)),
            "text" => of(ValueDecoding::Text),
            "blob" => of(ValueDecoding::Bytes),
            "numeric" => match meta.precision {
                Some(precision) => decimal(meta, optional, precision, options),
                None => of(ValueDecoding::F64),
            },
            _ => of(ValueDecoding::F64),
        },
    }
}

/// Reads a number with as many fractional digits as declared.
fn decimal(meta: &ColumnMeta, optional: bool, precision: i32, options: &ReadOptions) -> ReadColumn {
    let scale = meta.scale.unwrap_or(0);
    let column = numeric(&meta.name, optional, precision, scale, options.numeric);
    match column.read {
        ValueDecoding::Decimal => ReadColumn {
            read: ValueDecoding::Scaled(scale),
            ..column
        },
        _ => column,
    }
}

/// Returns the affinity of a column with that declared type, in lower case: `integer`, `text`,
/// `blob`, `real` or `numeric`.
pub(crate) fn affinity(data_type: &str) -> &'static str {
    let has = |part: &str| data_type.contains(part);
    match data_type {
        _ if has("int") => "integer",
        _ if has("char") || has("clob") || has("text") => "text",
        _ if has("blob") || data_type.is_empty() => "blob",
        _ if has("real") || has("floa") || has("doub") => "real",
        _ => "numeric",
    }
}

/// An expression for a point in time as `YYYY-MM-DD HH:MM:SS.ffffff`, from any form that SQLite's
/// date functions allow: text of any precision, milliseconds since 1970, a Julian day.
/// [`super::decode::cursor_micros`] reads values the same way.
pub(crate) fn comparable_timestamp(column: &str) -> String {
    let bare = format!("rtrim({column}, 'Zz ')");
    format!(
        "CASE typeof({column}) WHEN 'text' THEN CASE WHEN substr({column}, 11) GLOB '*[-+]*' \
         THEN strftime('%Y-%m-%d %H:%M:%f', {column}) || '000' \
         ELSE substr(replace({bare}, 'T', ' ') || substr('0000-00-00 00:00:00.000000', length({bare}) + 1), 1, 26) END \
         WHEN 'integer' THEN strftime('%Y-%m-%d %H:%M:%f', {column} / 1000.0, 'unixepoch') || '000' \
         WHEN 'real' THEN strftime('%Y-%m-%d %H:%M:%f', {column}) || '000' END"
    )
}

/// An expression that tests whether [`comparable_timestamp`] yields a point in time for a value: not for other
/// texts, nor for integers that would all lie within a day of 1970-01-01 and are more likely a
/// count.
pub(crate) fn is_time(column: &str) -> String {
    format!(
        "CASE typeof({column}) WHEN 'text' THEN {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' \
         WHEN 'integer' THEN {column} NOT BETWEEN -86400000 AND 86400000 \
         WHEN 'real' THEN strftime('%Y', {column}) IS NOT NULL ELSE 0 END"
    )
}

/// An expression that tests whether a value is an integer that counts the seconds of the years 1973
/// to 2106. As milliseconds they are all in the first weeks of 1970.
pub(crate) fn counts_seconds(column: &str) -> String {
    format!(
        "CASE typeof({column}) WHEN 'integer' THEN {column} BETWEEN 100000000 AND 4294967295 ELSE 0 END"
    )
}

#[cfg(test)]
mod tests {
    use connector_api::SchemaType;

    use super::{affinity, column};
    use crate::catalog::ColumnMeta;
    use crate::dialect::read::{NumericMapping, ReadOptions, ValueDecoding};

    fn meta(data_type: &str, precision: Option<i32>, scale: Option<i32>) -> ColumnMeta {
        let (name, data_type) = ("c".into(), data_type.into());
        ColumnMeta {
            name,
            data_type,
            precision,
            scale,
            nullable: true,
            ..ColumnMeta::default()
        }
    }

    #[test]
    fn every_declared_type_has_its_field() {
        for (data_type, want) in [
            ("integer", SchemaType::Int64),
            ("bigint", SchemaType::Int64),
            ("unsigned big int", SchemaType::Int64),
            ("int", SchemaType::Int32),
            ("smallint", SchemaType::Int16),
            ("tinyint", SchemaType::Int8),
            ("boolean", SchemaType::Boolean),
            ("varchar", SchemaType::String),
            ("native character", SchemaType::String),
            ("clob", SchemaType::String),
            ("blob", SchemaType::Bytes),
            ("binary", SchemaType::Bytes),
            ("varbinary", SchemaType::Bytes),
            ("real", SchemaType::Float64),
            ("double precision", SchemaType::Float64),
            ("float", SchemaType::Float64),
            ("numeric", SchemaType::Float64),
            ("date", SchemaType::Int32),
            ("time", SchemaType::Int32),
            ("datetime", SchemaType::Int64),
            ("timestamp", SchemaType::Int64),
        ] {
            assert_eq!(
                column(&meta(data_type, None, None), &ReadOptions::default())
                    .schema
                    .ty,
                want,
                "{data_type}"
            );
        }
        assert_eq!(
            (affinity("point"), affinity("charint"), affinity("string")),
            ("integer", "integer", "numeric")
        );
    }

    #[test]
    fn a_number_of_so_many_digits_is_a_decimal() {
        let plain = column(&meta("decimal", Some(10), Some(2)), &ReadOptions::default());
        assert_eq!(
            (plain.read, plain.schema.ty),
            (ValueDecoding::Scaled(2), SchemaType::Bytes)
        );
        let mapped = ReadOptions {
            numeric: NumericMapping::BestFit,
            ..ReadOptions::default()
        };
        assert_eq!(
            column(&meta("numeric", Some(9), None), &mapped).read,
            ValueDecoding::DecimalInt(SchemaType::Int32)
        );
    }
}
