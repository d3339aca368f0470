//! Column types that records carry: a source with `column.types=carry` writes them into schema
//! parameters, and a sink uses them to create columns. Pure.
//!
//! The parameters are Debezium's (`column.propagate.source.type`), plus some of Rowferry's own.

use connector_api::{Schema, SchemaType};

use super::logical_type::LogicalType;
use crate::catalog::ColumnMeta;
use crate::url::DatabaseKind;

/// Type name in upper case (`VARCHAR`, `INT UNSIGNED`).
const TYPE: &str = "__debezium.source.column.type";
/// Length, precision, or digits of the fractional second.
const LENGTH: &str = "__debezium.source.column.length";
/// Digits after the decimal point.
const SCALE: &str = "__debezium.source.column.scale";
/// Kind of database: `mysql`, `postgresql`, `sqlite`.
const DATABASE: &str = "rowferry.source.database";
/// The items of an ENUM or SET, as SQL lists them.
const ITEMS: &str = "rowferry.source.column.items";
/// The default: a literal or `CURRENT_TIMESTAMP`, as in SQL.
const DEFAULT: &str = "rowferry.source.column.default";
/// Character set.
const CHARSET: &str = "rowferry.source.column.charset";
/// Debezium's bit strings: bytes, the lowest first.
pub(crate) const BITS: &str = "io.debezium.data.Bits";
/// Debezium's items of an ENUM or SET.
const ALLOWED: &str = "allowed";

/// The type of a source column, independent of the database. Numbers without a comment are lengths,
/// precisions and scales, or digits of the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceType {
    /// Number of bytes, and whether it is unsigned.
    Int(u32, bool),
    Float,
    Double,
    Decimal(i32, i32),
    Char(u32),
    VarChar(u32),
    /// Text of up to 2^(8n) bytes; 0: of any length.
    Text(u32),
    Enum(Vec<String>),
    Set(Vec<String>),
    Json,
    Uuid,
    /// An IPv4 address.
    Inet4,
    /// An IPv6 address, or an IPv4 one mapped to IPv6.
    Inet6,
    /// An address of either kind, with or without a network.
    Inet,
    Binary(u32),
    VarBinary(u32),
    /// Up to 2^(8n) bytes; 0: any length.
    Blob(u32),
    Bit(u32),
    Date,
    Time(Option<u32>),
    DateTime(Option<u32>),
    Year,
    /// A type of `pg_catalog` without a counterpart elsewhere, with its length; true for an array of
    /// it.
    Postgres {
        name: &'static str,
        length: Option<u32>,
        array: bool,
    },
}

impl SourceType {
    /// True for a date and time.
    pub(crate) fn is_moment(&self) -> bool {
        matches!(
            self,
            Self::DateTime(_)
                | Self::Postgres {
                    name: "timestamptz",
                    array: false,
                    ..
                }
        )
    }
}

/// PostgreSQL's own types whose values a source reads as text, and a sink writes from text. Those
/// that another kind of database has too are in [`kind`].
const POSTGRES_TEXTS: [&str; 32] = [
    "box",
    "cidr",
    "circle",
    "daterange",
    "datemultirange",
    "int4multirange",
    "int4range",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "name",
    "nummultirange",
    "numrange",
    "path",
    "pg_lsn",
    "point",
    "polygon",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "varbit",
    "xid8",
    "xml",
];

/// Further types that arrays, which a source reads as text, are made of.
const POSTGRES_ITEMS: [&str; 18] = [
    "bool",
    "bpchar",
    "bytea",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "jsonb",
    "numeric",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
];

/// A column of the source table, as records carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    pub kind: SourceType,
    /// The kind of database it is from; `None`: unknown.
    pub from: Option<DatabaseKind>,
    pub default: Option<ColumnDefault>,
    pub charset: Option<String>,
}

/// The default of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnDefault {
    /// A text or number.
    Literal(String),
    /// The time of the insert.
    Now,
}

/// Returns the schema of a column with its type in the parameters.
pub(crate) fn carry(meta: &ColumnMeta, database: DatabaseKind, schema: &Schema) -> Schema {
    let mut name = meta.data_type.to_uppercase();
    if meta.column_type.contains("unsigned") && !matches!(name.as_str(), "ENUM" | "SET") {
        name.push_str(" UNSIGNED");
    }
    let mut out = schema.clone().param(TYPE, &name);
    let whole = |n: u64| n.to_string();
    let length = match (meta.precision, meta.length, meta.fraction) {
        (Some(precision), ..) => Some(precision.to_string()),
        (None, Some(length), _) => Some(whole(length)),
        (None, None, fraction) => fraction.map(|n| n.to_string()),
    };
    if let Some(length) = length {
        out = out.param(LENGTH, &length);
    }
    if let Some(scale) = meta.scale {
        out = out.param(SCALE, &scale.to_string());
    }
    out = out.param(DATABASE, label(database));
    let items = meta
        .column_type
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(')'))
        .map(|(items, _)| items);
    let standard = |text: &str| match database {
        DatabaseKind::MySql => without_escapes(text),
        DatabaseKind::Postgres | DatabaseKind::Sqlite => text.to_owned(),
    };
    if let (Some(items), "enum" | "set") = (items, meta.data_type.as_str()) {
        out = out.param(ITEMS, &standard(items));
    }
    let default = meta
        .default
        .as_deref()
        .filter(|_| !meta.generated)
        .map(standard);
    if let Some(text) = default.filter(|text| parse_default(text).is_some()) {
        out = out.param(DEFAULT, &text);
    }
    if let Some(charset) = &meta.charset {
        out = out.param(CHARSET, charset);
    }
    out
}

const DATABASES: [DatabaseKind; 3] = [
    DatabaseKind::MySql,
    DatabaseKind::Postgres,
    DatabaseKind::Sqlite,
];

fn label(database: DatabaseKind) -> &'static str {
    match database {
        DatabaseKind::MySql => "mysql",
        DatabaseKind::Postgres => "postgresql",
        DatabaseKind::Sqlite => "sqlite",
    }
}

/// Reads a source column from a schema's parameters; `None` if the schema's values would not fit
/// it.
pub(crate) fn source_column(schema: &Schema) -> Option<SourceColumn> {
    let name = schema.get_param(TYPE)?.trim().to_ascii_lowercase();
    let number = |key| {
        schema
            .get_param(key)
            .and_then(|text| text.trim().parse::<u32>().ok())
    };
    let from = schema
        .get_param(DATABASE)
        .and_then(|text| DATABASES.into_iter().find(|kind| label(*kind) == text));
    let length = number(LENGTH);
    let kind = match from {
        Some(DatabaseKind::Postgres) => postgres_kind(&name, length),
        None | Some(DatabaseKind::MySql | DatabaseKind::Sqlite) => None,
    };
    let kind = kind.or_else(|| self::kind(&name, length, number(SCALE), schema))?;
    let charset = schema
        .get_param(CHARSET)
        .filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let default = schema.get_param(DEFAULT).and_then(parse_default);
    holds(&kind, schema).then(|| SourceColumn {
        kind,
        from,
        default,
        charset: charset.map(str::to_owned),
    })
}

/// Returns a type that only PostgreSQL has.
fn postgres_kind(name: &str, length: Option<u32>) -> Option<SourceType> {
    let find = |names: &[&'static str], name: &str| names.iter().find(|n| **n == name).copied();
    let of = |name, array| SourceType::Postgres {
        name,
        length,
        array,
    };
    if let Some(item) = name.strip_prefix('_') {
        let name = find(&POSTGRES_TEXTS, item).or_else(|| find(&POSTGRES_ITEMS, item))?;
        return Some(of(name, true));
    }
    find(&POSTGRES_TEXTS, name)
        .or_else(|| find(&["timestamptz", "timetz", "money", "oid"], name))
        .map(|name| of(name, false))
}

fn kind(
    name: &str,
    length: Option<u32>,
    scale: Option<u32>,
    schema: &Schema,
) -> Option<SourceType> {
    let (name, unsigned) = match name.split_once(' ') {
        Some((name, rest)) => (name, rest.contains("unsigned")),
        None => (name, false),
    };
    let name = name.split('(').next().unwrap_or(name);
    Some(match name {
        "tinyint" => SourceType::Int(1, unsigned),
        "smallint" | "int2" => SourceType::Int(2, unsigned),
        "mediumint" => SourceType::Int(3, unsigned),
        "int" | "integer" | "int4" => SourceType::Int(4, unsigned),
        "bigint" | "int8" => SourceType::Int(8, unsigned),
        "float" | "float4" | "real" => SourceType::Float,
        "double" | "float8" => SourceType::Double,
        "decimal" | "numeric" => SourceType::Decimal(
            length?.try_into().ok()?,
            scale.unwrap_or(0).try_into().ok()?,
        ),
        "char" | "bpchar" => SourceType::Char(length?),
        "varchar" => length.map_or(SourceType::Text(0), SourceType::VarChar),
        "tinytext" => SourceType::Text(1),
        "text" if length.is_some() => SourceType::Text(2),
        "text" => SourceType::Text(0),
        "mediumtext" => SourceType::Text(3),
        "longtext" => SourceType::Text(4),
        "enum" => SourceType::Enum(items(schema)?),
        "set" => SourceType::Set(items(schema)?),
        "json" | "jsonb" => SourceType::Json,
        "uuid" => SourceType::Uuid,
        "inet4" => SourceType::Inet4,
        "inet6" => SourceType::Inet6,
        "inet" => SourceType::Inet,
        "binary" => SourceType::Binary(length?),
        "varbinary" => SourceType::VarBinary(length?),
        "tinyblob" => SourceType::Blob(1),
        "blob" => SourceType::Blob(2),
        "mediumblob" => SourceType::Blob(3),
        "longblob" => SourceType::Blob(4),
        "bytea" => SourceType::Blob(0),
        "bit" => SourceType::Bit(length.unwrap_or(1)),
        "date" => SourceType::Date,
        "time" | "timetz" => SourceType::Time(length),
        "datetime" | "timestamp" | "timestamptz" => SourceType::DateTime(length),
        "year" => SourceType::Year,
        _ => return None,
    })
}

/// True if such a column can hold every value of the schema.
fn holds(kind: &SourceType, schema: &Schema) -> bool {
    let bytes = |ty| match ty {
        SchemaType::Int8 => Some(1),
        SchemaType::Int16 => Some(2),
        SchemaType::Int32 => Some(4),
        SchemaType::Int64 => Some(8),
        _ => None,
    };
    match (LogicalType::of(schema), kind) {
        (LogicalType::Decimal(scale), SourceType::Decimal(precision, digits)) => {
            *digits >= scale && *precision >= *digits
        }
        (LogicalType::Decimal(0), SourceType::Int(8, true)) => true,
        (LogicalType::Date, SourceType::Date)
        | (LogicalType::Time, SourceType::Time(_))
        | (LogicalType::Timestamp, SourceType::DateTime(_)) => true,
        (LogicalType::None, SourceType::Int(width, unsigned)) => {
            bytes(schema.ty).is_some_and(|needed| match (width, unsigned) {
                (1, true) => needed <= 2,
                (2, true) => needed <= 4,
                // A source reads it into 64 bits.
                (3 | 4 | 8, true) => true,
                (3, false) => needed <= 4,
                (width, _) => needed <= *width,
            })
        }
        (LogicalType::None, SourceType::Float | SourceType::Double) => {
            schema.ty == SchemaType::Float32
                || schema.ty == SchemaType::Float64 && *kind == SourceType::Double
        }
        (
            LogicalType::None,
            SourceType::Char(_)
            | SourceType::VarChar(_)
            | SourceType::Text(_)
            | SourceType::Enum(_)
            | SourceType::Set(_),
        )
        | (
            LogicalType::None,
            SourceType::Json
            | SourceType::Uuid
            | SourceType::Inet4
            | SourceType::Inet6
            | SourceType::Inet,
        ) => schema.ty == SchemaType::String,
        (
            LogicalType::None,
            SourceType::Binary(_) | SourceType::VarBinary(_) | SourceType::Blob(_),
        ) => schema.ty == SchemaType::Bytes,
        // 8 bits are the value's, and a longer column only has zeros before them
        (LogicalType::None, SourceType::Bit(bits)) => {
            matches!(schema.ty, SchemaType::Bytes | SchemaType::Int8)
                || schema.ty == SchemaType::Boolean && *bits == 1
        }
        (LogicalType::None, SourceType::Year) => schema.ty == SchemaType::Int32,
        (logical, SourceType::Postgres { name, array, .. }) => {
            holds_as_postgres((name, *array), logical, schema)
        }
        _ => false,
    }
}

/// True if a type that only PostgreSQL has holds every value of the schema; its arrays are texts.
fn holds_as_postgres((name, array): (&str, bool), logical: LogicalType, schema: &Schema) -> bool {
    match (name, array) {
        ("timestamptz", false) => logical == LogicalType::Timestamp,
        ("timetz", false) => logical == LogicalType::Time,
        ("money", false) => schema.ty == SchemaType::Float64,
        ("oid", false) => logical == LogicalType::None && schema.ty == SchemaType::Int64,
        _ => logical == LogicalType::None && schema.ty == SchemaType::String,
    }
}

/// Returns the items of an ENUM or SET: as SQL lists them, or Debezium's, which escapes commas with
/// a backslash.
fn items(schema: &Schema) -> Option<Vec<String>> {
    if let Some(list) = schema.get_param(ITEMS) {
        return quoted_items(list);
    }
    let (mut items, mut escaped) = (vec![String::new()], false);
    for c in schema.get_param(ALLOWED)?.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => items.push(String::new()),
            c => {
                items.last_mut()?.push(c);
                escaped = false;
            }
        }
    }
    Some(items)
}

/// Parses `'a','it''s'`.
fn quoted_items(list: &str) -> Option<Vec<String>> {
    let (mut items, mut rest) = (Vec::new(), list.trim());
    loop {
        let (item, behind) = quoted(rest)?;
        items.push(item);
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return rest.is_empty().then_some(items),
        }
    }
}

/// Converts backslash escapes to standard SQL, where a quote in a literal is doubled and a backslash
/// is a plain character.
fn without_escapes(text: &str) -> String {
    let (mut out, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('\'') => out.push_str("''"),
            Some(c) => out.push(c),
            None => {}
        }
    }
    out
}

/// Splits off a literal in single quotes, doubled inside, and returns its content and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut rest = text.strip_prefix('\'')?;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        out.push_str(part);
        match behind.strip_prefix('\'') {
            Some(next) => {
                out.push('\'');
                rest = next;
            }
            None => return Some((out, behind)),
        }
    }
}

/// Parses a default that any database can express: a text, a number, or the time of the insert.
fn parse_default(text: &str) -> Option<ColumnDefault> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let name = lower.split('(').next().unwrap_or_default().trim();
    if matches!(name, "current_timestamp" | "now") && lower.len() <= "current_timestamp(6)".len() {
        return Some(ColumnDefault::Now);
    }
    if let Some((literal, rest)) = quoted(text) {
        let plain = rest.is_empty()
            || rest
                .strip_prefix("::")
                .is_some_and(|ty| !ty.contains(['(', '\'']));
        return plain.then_some(ColumnDefault::Literal(literal));
    }
    text.parse::<f64>()
        .ok()
        .filter(|n| n.is_finite())
        .map(|_| ColumnDefault::Literal(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType};

    use super::{
        ALLOWED, ColumnDefault, LENGTH, SourceType, TYPE, carry, parse_default, source_column,
    };
    use crate::catalog::ColumnMeta;
    use crate::url::DatabaseKind;

    fn of(schema: Schema, ty: &str, length: &str) -> Option<SourceType> {
        source_column(&schema.param(TYPE, ty).param(LENGTH, length)).map(|column| column.kind)
    }

    #[test]
    fn a_type_counts_where_it_holds_the_schemas_values() {
        for (ty, name, want) in [
            (SchemaType::Int8, "TINYINT", Some(SourceType::Int(1, false))),
            (SchemaType::Int16, "TINYINT", None),
            (
                SchemaType::Int16,
                "TINYINT UNSIGNED",
                Some(SourceType::Int(1, true)),
            ),
            (
                SchemaType::Int64,
                "BIGINT UNSIGNED",
                Some(SourceType::Int(8, true)),
            ),
            (SchemaType::Float64, "FLOAT", None),
            (
                SchemaType::String,
                "VARCHAR",
                Some(SourceType::VarChar(255)),
            ),
            (SchemaType::Int64, "DATETIME", None),
            (SchemaType::String, "GEOMETRY", None),
            (SchemaType::String, "INET4", Some(SourceType::Inet4)),
            (SchemaType::String, "INET6", Some(SourceType::Inet6)),
            (SchemaType::Int8, "BIT", Some(SourceType::Bit(255))),
        ] {
            assert_eq!(of(Schema::of(ty), name, "255"), want, "{ty:?} {name}");
        }
        assert_eq!(
            of(Schema::timestamp(), "DATETIME", "6"),
            Some(SourceType::DateTime(Some(6)))
        );
        assert_eq!(
            of(Schema::of(SchemaType::String), "VARCHAR", "1) , x INT"),
            Some(SourceType::Text(0))
        );
    }

    #[test]
    fn a_type_carries_the_kind_of_its_database() {
        for database in super::DATABASES {
            let meta = ColumnMeta {
                data_type: "varchar".into(),
                length: Some(9),
                ..ColumnMeta::default()
            };
            let seen = source_column(&carry(&meta, database, &Schema::of(SchemaType::String)));
            let seen = seen.map(|column| (column.kind, column.from));
            assert_eq!(seen, Some((SourceType::VarChar(9), Some(database))));
        }
    }

    #[test]
    fn types_that_only_postgresql_has_are_its_own() {
        let of = |database, ty: &str, schema: Schema| {
            let meta = ColumnMeta {
                data_type: ty.to_owned(),
                ..ColumnMeta::default()
            };
            source_column(&carry(&meta, database, &schema)).map(|column| column.kind)
        };
        let text = || Schema::of(SchemaType::String);
        let own = |name, array| {
            Some(SourceType::Postgres {
                name,
                length: None,
                array,
            })
        };
        let postgres = DatabaseKind::Postgres;
        assert_eq!(of(postgres, "cidr", text()), own("cidr", false));
        assert_eq!(of(postgres, "_int4", text()), own("int4", true));
        assert_eq!(of(postgres, "_secret", text()), None);
        assert_eq!(of(postgres, "timestamptz", text()), None);
        assert_eq!(
            of(postgres, "timestamptz", Schema::timestamp()),
            own("timestamptz", false)
        );
        assert_eq!(of(DatabaseKind::MySql, "point", text()), None);
    }

    #[test]
    fn items_are_read_in_both_forms() {
        let meta = ColumnMeta {
            data_type: "enum".into(),
            column_type: "enum('a,b','it''s','back\\\\slash')".into(),
            ..ColumnMeta::default()
        };
        let own = carry(&meta, DatabaseKind::MySql, &Schema::of(SchemaType::String));
        let want = Some(SourceType::Enum(vec![
            "a,b".into(),
            "it's".into(),
            "back\\slash".into(),
        ]));
        assert_eq!(source_column(&own).map(|c| c.kind), want);
        let debezium = Schema::of(SchemaType::String)
            .param(TYPE, "ENUM")
            .param(ALLOWED, "a\\,b,it's,back\\\\slash");
        assert_eq!(source_column(&debezium).map(|c| c.kind), want);
    }

    #[test]
    fn a_default_travels_as_standard_sql_has_it() {
        let meta = ColumnMeta {
            data_type: "varchar".into(),
            length: Some(9),
            default: Some("'it\\'s \\\\'".into()),
            ..ColumnMeta::default()
        };
        let seen = source_column(&carry(
            &meta,
            DatabaseKind::MySql,
            &Schema::of(SchemaType::String),
        ))
        .unwrap();
        assert_eq!(seen.default, Some(ColumnDefault::Literal("it's \\".into())));
    }

    #[test]
    fn only_literals_are_defaults() {
        let literal = |text: &str| Some(ColumnDefault::Literal(text.to_owned()));
        for (text, want) in [
            ("'it''s'", literal("it's")),
            ("'a'::character varying", literal("a")),
            ("-1.5", literal("-1.5")),
            ("current_timestamp(6)", Some(ColumnDefault::Now)),
            ("now()", Some(ColumnDefault::Now)),
            ("nextval('s'::regclass)", None),
            ("'a' || version()", None),
            ("uuid()", None),
            ("NULL", None),
        ] {
            assert_eq!(parse_default(text), want, "{text}");
        }
    }
}
