//! Widens MariaDB's and MySQL's columns, and maps the types that records carry. Pure.

use connector_api::{Schema, SchemaType};

use super::super::Dialect;
use super::super::logical_type::LogicalType;
use super::super::source_type::{SourceColumn, SourceType};
use super::super::writing::{ColumnCapacity, ColumnWidening, grown_decimal};
use super::MySqlDialect;
use crate::catalog::ColumnMeta;
use crate::url::DatabaseKind;

/// Maximum digits of DECIMAL.
const DECIMAL_DIGITS: i32 = 65;
/// Maximum characters of a key: an index has 3,072 bytes.
const KEY_CHARACTERS: u32 = 768;

/// Signed integers, with their bits.
const INTEGERS: [(&str, u32); 4] = [
    ("SMALLINT", 16),
    ("MEDIUMINT", 24),
    ("INT", 32),
    ("BIGINT", 64),
];

/// Returns how much a column's values can hold.
pub(crate) fn capacity(column: &ColumnMeta) -> Option<ColumnCapacity> {
    let bits = |bits| {
        Some(ColumnCapacity::Bits {
            bits,
            unsigned: column.column_type.contains("unsigned"),
        })
    };
    match column.data_type.as_str() {
        "char" | "varchar" => column.length.map(ColumnCapacity::Characters),
        "tinytext" | "text" | "mediumtext" | "longtext" | "binary" | "varbinary" | "tinyblob"
        | "blob" | "mediumblob" | "longblob" => column.length.map(ColumnCapacity::Bytes),
        "decimal" | "numeric" => ColumnCapacity::of_decimal(column),
        "tinyint" => bits(8),
        "smallint" => bits(16),
        "mediumint" => bits(24),
        "int" | "integer" => bits(32),
        _ => None,
    }
}

/// Returns a type that also holds values of that length. `None` if there is none, or if it would
/// change more than the length.
pub(crate) fn type_for_length(column: &ColumnMeta, length: u64) -> Option<String> {
    let key = column.key_position.is_some();
    match column.data_type.as_str() {
        "decimal" | "numeric" => {
            let (whole, scale) = (i32::try_from(length).ok()?, column.scale?);
            let precision = whole.checked_add(scale)?;
            (precision <= DECIMAL_DIGITS).then(|| format!("DECIMAL({precision},{scale})"))
        }
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" => {
            let wider = INTEGERS.iter().find(|(_, bits)| length <= u64::from(*bits));
            wider.map(|(name, _)| (*name).to_owned())
        }
        "char" | "varchar" if key => {
            let length = u32::try_from(length)
                .ok()
                .filter(|length| *length <= KEY_CHARACTERS)?;
            Some(format!("VARCHAR({length})"))
        }
        _ if key => None,
        "char" | "varchar" if length <= 4096 => {
            Some(format!("VARCHAR({})", length.next_power_of_two()))
        }
        "char" | "varchar" | "tinytext" if length <= 16_383 => Some("TEXT".to_owned()),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" => Some("LONGTEXT".to_owned()),
        "binary" | "varbinary" | "tinyblob" if length <= 65_535 => Some("BLOB".to_owned()),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" => Some("LONGBLOB".to_owned()),
        _ => None,
    }
}

/// Returns a wider type for the values of a schema that the column's type cannot hold.
pub(crate) fn type_for_schema(
    column: &ColumnMeta,
    schema: &Schema,
    max_scale: i32,
) -> Option<String> {
    let unsigned = column.column_type.contains("unsigned");
    let has = match (column.data_type.as_str(), unsigned) {
        ("tinyint", false) => 1,
        ("tinyint", true) | ("smallint", false) => 2,
        ("mediumint", false) => 3,
        ("smallint", true) | ("int" | "integer", false) => 4,
        ("mediumint" | "int" | "integer", true) | ("bigint", _) => 8,
        ("float", _) => return (schema.ty == SchemaType::Float64).then(|| "DOUBLE".to_owned()),
        ("decimal" | "numeric", _) => return decimal(column, schema, max_scale),
        _ => return None,
    };
    match (LogicalType::of(schema), schema.ty) {
        (LogicalType::None, SchemaType::Int16) if has < 2 => Some("SMALLINT".to_owned()),
        (LogicalType::None, SchemaType::Int32) if has < 4 => Some("INT".to_owned()),
        (LogicalType::None, SchemaType::Int64) if has < 8 => Some("BIGINT".to_owned()),
        _ => None,
    }
}

fn decimal(column: &ColumnMeta, schema: &Schema, max_scale: i32) -> Option<String> {
    let (precision, scale) = grown_decimal(column, schema)?;
    let fits = scale <= max_scale && precision <= DECIMAL_DIGITS;
    fits.then(|| format!("DECIMAL({precision},{scale})"))
}

/// `ALTER TABLE … MODIFY`: keeps everything else that `SHOW CREATE TABLE` reports of the column.
pub(crate) fn alter_columns(
    table: &str,
    changes: &[ColumnWidening],
    shown: &str,
) -> Option<String> {
    let change = |change: &ColumnWidening| {
        let name = MySqlDialect.quoted(&change.column.name);
        let line = shown
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&name)?.strip_prefix(' '))?;
        let line = line.strip_suffix(',').unwrap_or(line);
        let old = &change.column.column_type;
        let rest = line
            .get(old.len()..)
            .filter(|_| line[..old.len()].eq_ignore_ascii_case(old))?;
        let rest = if change.nullable {
            rest.replacen(" NOT NULL", " NULL", 1)
        } else {
            rest.to_owned()
        };
        Some(format!(
            "MODIFY {name} {}{rest}",
            change.ty.as_ref().unwrap_or(old)
        ))
    };
    let changes = changes.iter().map(change).collect::<Option<Vec<_>>>()?;
    Some(format!("ALTER TABLE {table}\n{}", changes.join(",\n")))
}

/// Returns the type of a new column from the source column's type that the records carry.
pub(crate) fn type_like_source(source: &SourceColumn, key: bool, mariadb: bool) -> Option<String> {
    // Only the same kind of database has the same ENUMs, character sets and bit strings.
    let own = match source.from {
        None | Some(DatabaseKind::MySql) => true,
        Some(DatabaseKind::Postgres | DatabaseKind::Sqlite) => false,
    };
    let charset = source
        .charset
        .as_deref()
        .filter(|_| own)
        .map_or(String::new(), |c| format!(" CHARACTER SET {c}"));
    // Elsewhere a type without digits has as many as it can.
    let digits = |digits: Option<u32>| if own { digits } else { digits.or(Some(6)) };
    Some(match &source.kind {
        SourceType::Int(bytes, unsigned) => integer_type(*bytes, *unsigned),
        SourceType::Float => "FLOAT".to_owned(),
        SourceType::Double => "DOUBLE".to_owned(),
        SourceType::Decimal(precision, scale) if *precision <= DECIMAL_DIGITS && *scale <= 30 => {
            format!("DECIMAL({precision},{scale})")
        }
        SourceType::Char(length) if *length <= 255 => format!("CHAR({length}){charset}"),
        SourceType::Char(length) | SourceType::VarChar(length)
            if *length <= if key { KEY_CHARACTERS } else { 16_383 } =>
        {
            format!("VARCHAR({length}){charset}")
        }
        SourceType::Enum(items) if own => format!("ENUM({}){charset}", item_list(items)),
        SourceType::Set(items) if own => format!("SET({}){charset}", item_list(items)),
        SourceType::Uuid if own && mariadb => "UUID".to_owned(),
        SourceType::Uuid => "CHAR(36)".to_owned(),
        SourceType::Inet4 if own && mariadb => "INET4".to_owned(),
        SourceType::Inet6 if own && mariadb => "INET6".to_owned(),
        SourceType::Inet4 => "VARCHAR(15)".to_owned(),
        SourceType::Inet6 => "VARCHAR(45)".to_owned(),
        // with a network: /128
        SourceType::Inet => "VARCHAR(49)".to_owned(),
        SourceType::Binary(length) if *length <= 255 => format!("BINARY({length})"),
        SourceType::VarBinary(length) if *length <= if key { 3072 } else { 65_000 } => {
            format!("VARBINARY({length})")
        }
        SourceType::Bit(bits) if own && *bits <= 64 => format!("BIT({bits})"),
        SourceType::Date => "DATE".to_owned(),
        SourceType::Time(fraction) => with_fraction("TIME", digits(*fraction)),
        SourceType::DateTime(fraction) => with_fraction("DATETIME", digits(*fraction)),
        SourceType::Year => "YEAR".to_owned(),
        SourceType::Postgres {
            name: "timestamptz",
            length,
            array: false,
        } => with_fraction("DATETIME", digits(*length)),
        SourceType::Postgres {
            name: "timetz",
            length,
            array: false,
        } => with_fraction("TIME", digits(*length)),
        // The remaining types cannot be indexed.
        _ if key => return None,
        large => return large_type(large, &charset),
    })
}

/// Returns a type that no index takes.
fn large_type(kind: &SourceType, charset: &str) -> Option<String> {
    Some(match kind {
        SourceType::Text(size) => format!("{}TEXT{charset}", size_prefix(*size)),
        SourceType::Char(_) | SourceType::VarChar(_) => format!("LONGTEXT{charset}"),
        SourceType::Blob(size) => format!("{}BLOB", size_prefix(*size)),
        SourceType::Binary(_) | SourceType::VarBinary(_) => "LONGBLOB".to_owned(),
        SourceType::Json
        | SourceType::Postgres {
            name: "json",
            array: false,
            ..
        } => "JSON".to_owned(),
        _ => return None,
    })
}

fn integer_type(bytes: u32, unsigned: bool) -> String {
    let name = match bytes {
        1 => "TINYINT",
        2 => "SMALLINT",
        3 => "MEDIUMINT",
        4 => "INT",
        _ => "BIGINT",
    };
    format!("{name}{}", if unsigned { " UNSIGNED" } else { "" })
}

/// Returns the items of an ENUM or SET as literals.
fn item_list(items: &[String]) -> String {
    let literals = items
        .iter()
        .map(|item| format!("'{}'", item.replace('\\', "\\\\").replace('\'', "''")));
    literals.collect::<Vec<_>>().join(",")
}

/// Returns a type with that many digits of the fractional second, if the server has so many.
fn with_fraction(name: &str, digits: Option<u32>) -> String {
    match digits.filter(|digits| (1..=6).contains(digits)) {
        Some(digits) => format!("{name}({digits})"),
        None => name.to_owned(),
    }
}

/// Returns the prefix of TEXT and BLOB for lengths of that many bytes; 0: any length.
fn size_prefix(size: u32) -> &'static str {
    match size {
        1 => "TINY",
        2 => "",
        3 => "MEDIUM",
        _ => "LONG",
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, logical};

    use super::super::super::source_type::{SourceColumn, SourceType};
    use super::{alter_columns, type_for_length, type_for_schema, type_like_source};
    use crate::catalog::ColumnMeta;
    use crate::dialect::writing::ColumnWidening;
    use crate::url::DatabaseKind;

    #[test]
    fn a_time_of_another_database_keeps_its_fraction() {
        let like = |kind: SourceType, from| {
            let source = SourceColumn {
                kind,
                from: Some(from),
                default: None,
                charset: None,
            };
            type_like_source(&source, false, true).unwrap()
        };
        for from in [DatabaseKind::Postgres, DatabaseKind::Sqlite] {
            assert_eq!(like(SourceType::DateTime(None), from), "DATETIME(6)");
            assert_eq!(like(SourceType::Time(None), from), "TIME(6)");
            assert_eq!(like(SourceType::DateTime(Some(3)), from), "DATETIME(3)");
        }
        let own = DatabaseKind::MySql;
        assert_eq!(like(SourceType::DateTime(None), own), "DATETIME");
    }

    fn column(data_type: &str, column_type: &str) -> ColumnMeta {
        ColumnMeta {
            name: "c".into(),
            data_type: data_type.into(),
            column_type: column_type.into(),
            precision: Some(10),
            scale: Some(2),
            ..ColumnMeta::default()
        }
    }

    #[test]
    fn types_only_grow() {
        let decimal =
            |scale, precision: &str| Schema::decimal(scale).param(logical::PRECISION, precision);
        for (data_type, column_type, schema, want) in [
            (
                "int",
                "int(11)",
                Schema::of(SchemaType::Int64),
                Some("BIGINT"),
            ),
            ("int", "int(11)", Schema::of(SchemaType::Int16), None),
            (
                "int",
                "int(10) unsigned",
                Schema::of(SchemaType::Int64),
                None,
            ),
            (
                "mediumint",
                "mediumint(9)",
                Schema::of(SchemaType::Int32),
                Some("INT"),
            ),
            (
                "tinyint",
                "tinyint(1)",
                Schema::of(SchemaType::Boolean),
                None,
            ),
            (
                "float",
                "float",
                Schema::of(SchemaType::Float64),
                Some("DOUBLE"),
            ),
            (
                "decimal",
                "decimal(10,2)",
                decimal(4, "12"),
                Some("DECIMAL(12,4)"),
            ),
            (
                "decimal",
                "decimal(10,2)",
                decimal(2, "12"),
                Some("DECIMAL(12,2)"),
            ),
            ("decimal", "decimal(10,2)", decimal(0, "5"), None),
            ("decimal", "decimal(10,2)", decimal(60, "70"), None),
            ("varchar", "varchar(5)", Schema::of(SchemaType::Int64), None),
        ] {
            assert_eq!(
                type_for_schema(&column(data_type, column_type), &schema, 38).as_deref(),
                want,
                "{column_type} {schema:?}"
            );
        }
        for (data_type, length, want) in [
            ("varchar", 300, Some("VARCHAR(512)")),
            ("varchar", 70_000, Some("LONGTEXT")),
            ("text", 70_000, Some("LONGTEXT")),
            ("varbinary", 2000, Some("BLOB")),
            ("longtext", u64::MAX, None),
            ("decimal", 12, Some("DECIMAL(14,2)")),
            ("decimal", 63, Some("DECIMAL(65,2)")),
            ("decimal", 64, None),
            ("smallint", 17, Some("MEDIUMINT")),
            ("int", 33, Some("BIGINT")),
            ("int", 65, None),
        ] {
            assert_eq!(
                type_for_length(&column(data_type, data_type), length).as_deref(),
                want,
                "{data_type} {length}"
            );
        }
    }

    #[test]
    fn the_rest_of_a_columns_definition_stays() {
        let shown = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `c` int(11) NOT NULL DEFAULT 5 COMMENT \
                     'it''s, NOT NULL',\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB";
        let change = |nullable, ty: Option<&str>| ColumnWidening {
            column: column("int", "int(11)"),
            ty: ty.map(str::to_owned),
            nullable,
        };
        assert_eq!(
            alter_columns("`t`", &[change(true, Some("BIGINT"))], shown).as_deref(),
            Some("ALTER TABLE `t`\nMODIFY `c` BIGINT NULL DEFAULT 5 COMMENT 'it''s, NOT NULL'")
        );
        assert_eq!(
            alter_columns("`t`", &[change(false, None)], shown).as_deref(),
            Some(
                "ALTER TABLE `t`\nMODIFY `c` int(11) NOT NULL DEFAULT 5 COMMENT 'it''s, NOT NULL'"
            )
        );
    }
}
