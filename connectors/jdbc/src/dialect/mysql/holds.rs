//! What MariaDB's and MySQL's columns hold. Pure.

use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;

/// Returns what a column holds.
pub fn holds(column: &ColumnMeta) -> TargetColumnType {
    match column.data_type.as_str() {
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
