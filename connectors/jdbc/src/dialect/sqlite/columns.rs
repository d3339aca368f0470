//! What SQLite's columns are declared to hold. Pure.
//!
//! SQLite stores any value in any column; this is what a reader of the column expects.

use super::read_types::{self, affinity};
use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;
use crate::dialect::writing::{ColumnDialect, KeyForm, TextEquality};

/// Digits of a decimal that survive in a column whose affinity converts texts to numbers: a 64-bit
/// float keeps that many.
pub(super) const DIGITS: usize = 15;

/// Columns of an SQLite file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteColumns;

impl ColumnDialect for SqliteColumns {
    /// A column may be declared with the collation NOCASE, which the catalog does not report.
    fn text_equality(&self, _column: Option<&ColumnMeta>) -> TextEquality {
        TextEquality::Folded
    }

    fn target_type(&self, column: &ColumnMeta) -> TargetColumnType {
        target_type(column)
    }

    /// Texts, which are compared as such: CURRENT_TIMESTAMP has no fraction, and others have as many
    /// digits as their source.
    fn key_form(&self, column: &ColumnMeta) -> KeyForm {
        match column.data_type.as_str() {
            "time" | "datetime" | "timestamp" => KeyForm::WithoutZeroFraction,
            _ => KeyForm::AsIs,
        }
    }

    fn decimal_digits(&self, column: &ColumnMeta) -> Option<usize> {
        let keeps_all = keeps_every_value(column)
            || matches!(read_types::affinity(&column.data_type), "text" | "blob");
        (!keeps_all).then_some(DIGITS)
    }
}

/// True for ANY in a STRICT table, whose values, and not the declaration, have given the type.
fn keeps_every_value(column: &ColumnMeta) -> bool {
    column.column_type.eq_ignore_ascii_case("any") && column.data_type != "any"
}

/// Returns what a column holds.
fn target_type(column: &ColumnMeta) -> TargetColumnType {
    let name = column.data_type.as_str();
    let has = |part: &str| name.contains(part);
    match name {
        _ if keeps_every_value(column) => TargetColumnType::Other,
        "date" => TargetColumnType::Date,
        "time" => TargetColumnType::Time { zoned: false },
        // SQLite's date functions parse a text with its UTC offset.
        "datetime" | "timestamp" => TargetColumnType::DateTime {
            zoned: true,
            instant: false,
        },
        "boolean" | "bool" => TargetColumnType::Flag,
        _ if has("int") => TargetColumnType::Integer,
        _ if has("char") || has("clob") || has("text") => TargetColumnType::Text,
        _ if has("real")
            || has("floa")
            || has("doub")
            || matches!(name, "numeric" | "decimal" | "number") =>
        {
            TargetColumnType::Number
        }
        _ if affinity(name) == "numeric" => TargetColumnType::Loose,
        _ => TargetColumnType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{ColumnDialect, SqliteColumns};
    use crate::catalog::ColumnMeta;

    #[test]
    fn only_columns_of_text_keep_every_digit() {
        let digits = |data_type: &str| {
            SqliteColumns.decimal_digits(&ColumnMeta {
                data_type: data_type.into(),
                ..ColumnMeta::default()
            })
        };
        assert_eq!(
            (
                digits("numeric"),
                digits("double"),
                digits("text"),
                digits("")
            ),
            (Some(15), Some(15), None, None)
        );
    }
}
