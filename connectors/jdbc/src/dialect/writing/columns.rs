//! What the columns of a target table can hold, as far as it decides how values are bound. Pure.

use connector_api::Schema;

use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;

/// How one database's columns take values. Asked once for each column, never for a row.
pub trait ColumnDialect: Send + Sync {
    /// When two text keys of a column identify the same row; `None`: a column created by the sink.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality;

    /// What a column holds.
    fn target_type(&self, column: &ColumnMeta) -> TargetColumnType;

    /// What the items of an array column hold.
    fn item_type(&self, _column: &ColumnMeta) -> TargetColumnType {
        TargetColumnType::Other
    }

    /// The form in which a key column stores its values.
    fn key_form(&self, _column: &ColumnMeta) -> KeyForm {
        KeyForm::AsIs
    }

    /// How much a column's values can hold; `None`: unlimited, or the type cannot grow.
    fn capacity(&self, _column: &ColumnMeta) -> Option<ColumnCapacity> {
        None
    }

    /// True if the server stores another value for NULL in a column that does not take NULL.
    fn replaces_null(&self, _column: &ColumnMeta) -> bool {
        false
    }

    /// How many digits of a decimal a column keeps if it is not a decimal column; `None`: all that
    /// fit its type.
    fn decimal_digits(&self, _column: &ColumnMeta) -> Option<usize> {
        None
    }

    /// The type to which a column's values are cast; empty: none.
    fn cast(&self, _column: &ColumnMeta) -> String {
        String::new()
    }

    /// The type to which a parameter of a user's statement is cast because of its schema, if its
    /// SQL text alone would be read as something less exact.
    fn argument_cast(&self, _schema: &Schema) -> Option<String> {
        None
    }
}

/// The form in which a key column stores its values. A comparison may not see that another form is
/// the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    AsIs,
    /// Texts without the blanks at their end.
    WithoutBlanks,
    /// Bytes filled with zeros to that length.
    Padded(usize),
    /// Times as texts, without zeros that end their fraction.
    WithoutZeroFraction,
}

/// When two text keys identify the same row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEquality {
    /// When their bytes are equal.
    Exact,
    /// Possibly also when letter case, accents or blanks differ.
    Folded,
    /// Only the database can decide.
    Unknown,
}

/// How much a column's values can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnCapacity {
    /// Most characters.
    Characters(u64),
    /// Most bytes.
    Bytes(u64),
    /// A decimal: most digits before the point, of values that are rounded to `scale` digits after
    /// it.
    Digits { whole: u64, scale: i32 },
    /// An integer of that many bits, the sign included unless it is unsigned.
    Bits { bits: u32, unsigned: bool },
}

impl ColumnCapacity {
    /// The capacity of a decimal column; `None` if the type has no limit.
    pub fn of_decimal(column: &ColumnMeta) -> Option<Self> {
        let (precision, scale) = (column.precision?, column.scale?);
        let whole = u64::try_from(precision - scale).unwrap_or(0);
        Some(Self::Digits { whole, scale })
    }
}
