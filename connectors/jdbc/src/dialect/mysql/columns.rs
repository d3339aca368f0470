//! What MariaDB's and MySQL's columns hold. Pure.

use connector_api::Schema;

use super::ddl::max_scale;
use super::widening;
use crate::catalog::ColumnMeta;
use crate::dialect::column_type::{SpatialFormat, TargetColumnType};
use crate::dialect::logical_type::LogicalType;
use crate::dialect::writing::{ColumnCapacity, ColumnDialect, KeyForm, TextEquality};

/// Columns of one of the two servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MySqlColumns {
    pub(super) mariadb: bool,
}

impl ColumnDialect for MySqlColumns {
    /// Most collations ignore letter case and trailing spaces.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality {
        match column.map(|column| column.data_type.as_str()) {
            Some("inet4" | "inet6" | "binary") => TextEquality::Unknown,
            _ => TextEquality::Folded,
        }
    }

    fn target_type(&self, column: &ColumnMeta) -> TargetColumnType {
        target_type(column)
    }

    /// The server drops the blanks at the end of a CHAR, which a collation without padding compares,
    /// and fills a BINARY with zeros.
    fn key_form(&self, column: &ColumnMeta) -> KeyForm {
        match (column.data_type.as_str(), column.length) {
            ("char", _) => KeyForm::WithoutBlanks,
            ("binary", Some(length)) => {
                usize::try_from(length).map_or(KeyForm::AsIs, KeyForm::Padded)
            }
            _ => KeyForm::AsIs,
        }
    }

    fn capacity(&self, column: &ColumnMeta) -> Option<ColumnCapacity> {
        widening::capacity(column)
    }

    /// Unless `explicit_defaults_for_timestamp` is set, the server stores the current time.
    fn replaces_null(&self, column: &ColumnMeta) -> bool {
        column.data_type == "timestamp" && !column.nullable
    }

    /// In arithmetic, a decimal's text would be taken for a floating-point number.
    fn argument_cast(&self, schema: &Schema) -> Option<String> {
        match LogicalType::of(schema) {
            LogicalType::Decimal(scale) if scale <= max_scale(self.mariadb) => {
                Some(format!("DECIMAL(65,{})", scale.max(0)))
            }
            _ => None,
        }
    }
}

/// Returns what a column holds.
fn target_type(column: &ColumnMeta) -> TargetColumnType {
    match column.data_type.as_str() {
        _ if column.checked_json => TargetColumnType::Json,
        "json" => TargetColumnType::Json,
        "date" => TargetColumnType::Date,
        "time" => TargetColumnType::Time { zoned: false },
        // MariaDB does not parse a UTC offset in a text.
        "datetime" => TargetColumnType::DateTime {
            zoned: false,
            instant: false,
        },
        "timestamp" => TargetColumnType::DateTime {
            zoned: false,
            instant: true,
        },
        "year" => TargetColumnType::Year,
        "enum" | "set" => TargetColumnType::Choice(members(&column.column_type)),
        "bit" => TargetColumnType::Bits(
            column
                .precision
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(1),
        ),
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => {
            TargetColumnType::Integer
        }
        "decimal" | "numeric" | "float" | "double" | "real" => TargetColumnType::Number,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            TargetColumnType::Text
        }
        "uuid" => TargetColumnType::Uuid,
        "inet4" | "inet6" => TargetColumnType::Address,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => {
            TargetColumnType::Spatial(SpatialFormat::MySql)
        }
        _ => TargetColumnType::Other,
    }
}

/// Returns the texts of `enum('a','b''c')`.
fn members(column_type: &str) -> Vec<String> {
    let (mut out, mut rest) = (Vec::new(), column_type);
    while let Some(at) = rest.find('\'') {
        let (mut text, mut chars) = (String::new(), rest[at + 1..].char_indices().peekable());
        let mut end = rest.len();
        while let Some((n, c)) = chars.next() {
            if c == '\'' && chars.next_if(|(_, next)| *next == '\'').is_none() {
                end = at + 1 + n + 1;
                break;
            }
            text.push(c);
        }
        out.push(text);
        rest = &rest[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::members;

    #[test]
    fn the_texts_of_an_enum_are_found() {
        assert_eq!(
            members("enum('red','it''s','1,2','')"),
            ["red", "it's", "1,2", ""]
        );
        assert_eq!(members("set('a')"), ["a"]);
        assert!(members("int").is_empty());
    }
}
