//! SQLite's declared column types as Connect fields. Pure.
//!
//! Integer and text names mean what they mean elsewhere; INTEGER is SQLite's own, of 64 bits. A name that is unknown
//! follows SQLite's rules of affinity ("Datatypes In SQLite", 3.1).

use connector_api::Type;

use crate::catalog::ColumnMeta;
use crate::dialect::read::{Read, ReadColumn, ReadOptions, Stamp, numeric};

/// How a column is read.
pub fn column(meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
    let optional = meta.nullable && meta.key_position.is_none();
    let of = |read| ReadColumn::new(&meta.name, optional, read);
    match meta.data_type.as_str() {
        "boolean" | "bool" => of(Read::Bool),
        "tinyint" => of(Read::Int(Type::Int8)),
        "smallint" | "int2" => of(Read::Int(Type::Int16)),
        "int" | "mediumint" | "int4" => of(Read::Int(Type::Int32)),
        "date" => of(Read::Date(options.calendar)),
        "time" => of(Read::Time(options.zone.clone())),
        // their affinity is that of numbers, which leaves BLOBs alone
        "binary" | "varbinary" => of(Read::Bytes),
        "datetime" | "timestamp" => of(Read::Stamp(Box::new(Stamp {
            granularity: options.granularity,
            calendar: options.calendar,
            zone: options.zone.clone(),
            is_instant: false,
        }))),
        name => match affinity(name) {
            "integer" => of(Read::Int(Type::Int64)),
            "text" => of(Read::Text),
            "blob" => of(Read::Bytes),
            "numeric" => match meta.precision {
                Some(precision) => decimal(meta, optional, precision, options),
                None => of(Read::F64),
            },
            _ => of(Read::F64),
        },
    }
}

/// A number with as many digits after the point as its declaration says.
fn decimal(meta: &ColumnMeta, optional: bool, precision: i32, options: &ReadOptions) -> ReadColumn {
    let scale = meta.scale.unwrap_or(0);
    let column = numeric(&meta.name, optional, precision, scale, options.numeric);
    match column.read {
        Read::Decimal => ReadColumn { read: Read::Scaled(scale), ..column },
        _ => column,
    }
}

/// The affinity of a column with that declared type, in lower case: `integer`, `text`, `blob`, `real` or `numeric`.
pub fn affinity(data_type: &str) -> &'static str {
    let has = |part: &str| data_type.contains(part);
    match data_type {
        _ if has("int") => "integer",
        _ if has("char") || has("clob") || has("text") => "text",
        _ if has("blob") || data_type.is_empty() => "blob",
        _ if has("real") || has("floa") || has("doub") => "real",
        _ => "numeric",
    }
}

/// A point in time as `YYYY-MM-DD HH:MM:SS.ffffff`, whichever way SQLite's date functions allow it to be stored: text of
/// any precision, milliseconds since 1970, a Julian day. [`super::decode::cursor_micros`] reads values the same way.
pub fn stamp(column: &str) -> String {
    let bare = format!("rtrim({column}, 'Zz ')");
    format!(
        "CASE typeof({column}) WHEN 'text' THEN CASE WHEN substr({column}, 11) GLOB '*[-+]*' \
         THEN strftime('%Y-%m-%d %H:%M:%f', {column}) || '000' \
         ELSE substr(replace({bare}, 'T', ' ') || substr('0000-00-00 00:00:00.000000', length({bare}) + 1), 1, 26) END \
         WHEN 'integer' THEN strftime('%Y-%m-%d %H:%M:%f', {column} / 1000.0, 'unixepoch') || '000' \
         WHEN 'real' THEN strftime('%Y-%m-%d %H:%M:%f', {column}) || '000' END"
    )
}

/// Whether [`stamp`] has a point in time for a value: not for other texts, nor for whole numbers that all would lie on the
/// first days about 1970 and rather count something.
pub fn is_time(column: &str) -> String {
    format!(
        "CASE typeof({column}) WHEN 'text' THEN {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' \
         WHEN 'integer' THEN {column} NOT BETWEEN -86400000 AND 86400000 \
         WHEN 'real' THEN strftime('%Y', {column}) IS NOT NULL ELSE 0 END"
    )
}

#[cfg(test)]
mod tests {
    use connector_api::Type;

    use super::{affinity, column};
    use crate::catalog::ColumnMeta;
    use crate::dialect::read::{NumericMapping, Read, ReadOptions};

    fn meta(data_type: &str, precision: Option<i32>, scale: Option<i32>) -> ColumnMeta {
        let (name, data_type) = ("c".into(), data_type.into());
        ColumnMeta { name, data_type, precision, scale, nullable: true, ..ColumnMeta::default() }
    }

    #[test]
    fn every_declared_type_has_its_field() {
        for (data_type, want) in [
            ("integer", Type::Int64),
            ("bigint", Type::Int64),
            ("unsigned big int", Type::Int64),
            ("int", Type::Int32),
            ("smallint", Type::Int16),
            ("tinyint", Type::Int8),
            ("boolean", Type::Boolean),
            ("varchar", Type::String),
            ("native character", Type::String),
            ("clob", Type::String),
            ("blob", Type::Bytes),
            ("binary", Type::Bytes),
            ("varbinary", Type::Bytes),
            ("real", Type::Float64),
            ("double precision", Type::Float64),
            ("float", Type::Float64),
            ("numeric", Type::Float64),
            ("date", Type::Int32),
            ("time", Type::Int32),
            ("datetime", Type::Int64),
            ("timestamp", Type::Int64),
        ] {
            assert_eq!(column(&meta(data_type, None, None), &ReadOptions::default()).schema.ty, want, "{data_type}");
        }
        assert_eq!((affinity("point"), affinity("charint"), affinity("string")), ("integer", "integer", "numeric"));
    }

    #[test]
    fn a_number_of_so_many_digits_is_a_decimal() {
        let plain = column(&meta("decimal", Some(10), Some(2)), &ReadOptions::default());
        assert_eq!((plain.read, plain.schema.ty), (Read::Scaled(2), Type::Bytes));
        let mapped = ReadOptions { numeric: NumericMapping::BestFit, ..ReadOptions::default() };
        assert_eq!(column(&meta("numeric", Some(9), None), &mapped).read, Read::DecimalInt(Type::Int32));
    }
}
