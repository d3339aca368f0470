//! PostgreSQL's columns, made wider; and the types that records carry. Pure.

use connector_api::{Schema, Type, logical};

use super::super::Dialect;
use super::super::carried::{Carried, Kind};
use super::super::writing::{Logical, Room, Widening};
use super::Postgres;
use crate::catalog::ColumnMeta;
use crate::url::Database;

/// How long values of a column can be.
pub fn room(column: &ColumnMeta) -> Option<Room> {
    matches!(column.data_type.as_str(), "varchar" | "bpchar").then_some(column.length).flatten().map(Room::Characters)
}

/// A type that holds values of any length.
pub fn longer(column: &ColumnMeta) -> Option<String> {
    matches!(column.data_type.as_str(), "varchar" | "bpchar").then(|| "pg_catalog.text".to_owned())
}

/// A type that holds the values of a schema, where the column's does not.
pub fn wider(column: &ColumnMeta, schema: &Schema) -> Option<String> {
    let plain = Logical::of(schema) == Logical::None;
    let ty = match (column.data_type.as_str(), schema.ty) {
        ("int2", Type::Int32) if plain => "INT",
        ("int2" | "int4", Type::Int64) if plain => "BIGINT",
        ("float4", Type::Float64) => "DOUBLE PRECISION",
        ("numeric", _) => {
            let Logical::Decimal(scale) = Logical::of(schema) else { return None };
            let (precision, digits) = (column.precision?, column.scale?);
            let told = schema.get_param(logical::PRECISION).and_then(|text| text.parse::<i32>().ok());
            let whole = told.map_or(0, |told| told - scale).max(precision - digits);
            let wanted = scale.max(digits);
            let grows = (wanted, whole) != (digits, precision - digits);
            return grows.then(|| format!("NUMERIC({},{wanted})", whole + wanted));
        }
        _ => return None,
    };
    Some(ty.to_owned())
}

/// `ALTER TABLE … ALTER COLUMN`.
pub fn change_columns(table: &str, changes: &[Widening]) -> String {
    let change = |change: &Widening| {
        let name = Postgres.quoted(&change.column.name);
        let ty = change.ty.as_ref().map(|ty| format!("ALTER COLUMN {name} TYPE {ty}"));
        let null = change.nullable.then(|| format!("ALTER COLUMN {name} DROP NOT NULL"));
        [ty, null].into_iter().flatten().collect::<Vec<_>>().join(",\n")
    };
    format!("ALTER TABLE {table}\n{}", changes.iter().map(change).collect::<Vec<_>>().join(",\n"))
}

/// The type of a column that the records carry.
pub fn carried_type(carried: &Carried) -> Option<String> {
    let own = carried.from == Some(Database::Postgres);
    let digits = |name: &str, digits: &Option<u32>| match digits.filter(|digits| *digits <= 6) {
        Some(digits) => format!("{name}({digits})"),
        None => name.to_owned(),
    };
    Some(match &carried.kind {
        Kind::Int(1, _) | Kind::Int(2, false) => "SMALLINT".to_owned(),
        Kind::Int(2, true) | Kind::Int(3 | 4, false) | Kind::Int(3, true) | Kind::Year => "INT".to_owned(),
        Kind::Int(8, true) => "NUMERIC(20)".to_owned(),
        Kind::Int(..) => "BIGINT".to_owned(),
        Kind::Float => "REAL".to_owned(),
        Kind::Double => "DOUBLE PRECISION".to_owned(),
        Kind::Decimal(precision, scale) => format!("NUMERIC({precision},{scale})"),
        Kind::Char(length) if own => format!("CHAR({length})"),
        Kind::Char(length) | Kind::VarChar(length) => format!("VARCHAR({length})"),
        Kind::Text(_) | Kind::Enum(_) | Kind::Set(_) => "pg_catalog.text".to_owned(),
        Kind::Json => "pg_catalog.jsonb".to_owned(),
        Kind::Uuid => "pg_catalog.uuid".to_owned(),
        Kind::Inet => "pg_catalog.inet".to_owned(),
        Kind::Binary(_) | Kind::VarBinary(_) | Kind::Blob(_) => "pg_catalog.bytea".to_owned(),
        Kind::Date => "pg_catalog.date".to_owned(),
        Kind::Time(fraction) => digits("TIME", fraction),
        Kind::DateTime(fraction) => digits("TIMESTAMP", fraction),
        Kind::Bit(_) => return None,
    })
}
