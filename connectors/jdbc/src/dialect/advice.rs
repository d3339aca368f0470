//! What helps against errors that all databases have, to be appended to a server's own text.

/// A column that must not be null.
pub(super) const NOT_NULL: &str = "The record has no value for the column: give the column a default, allow NULL, or add the \
     field before (the transform InsertField).";

/// A second row with the same key.
pub(super) const DUPLICATE: &str = "A row with this key exists: insert.mode=upsert updates it (with pk.mode and pk.fields that \
     name the key), instead of inserting a second one.";

/// A value beyond the range or length of its column.
pub(super) const TOO_LARGE: &str =
    "The value is too large for the column: widen the column, or let auto.evolve=widen do it.";

/// A text or number that is no value of its column's type.
pub(super) const CONVERT: &str = "The value is not one of the column's type: convert the field before (the transform Cast), or \
     change the type of the column.";
