//! Describes where in a record a column's value comes from, for errors about the value.
//!
//! Pure. The texts name the field, its type and the settings that help, and never the value.

use std::sync::Arc;

use connector_api::{Schema, SchemaType};

use crate::sink::config::columns::{RecordColumn, ValueSlot};

/// The origin of a column's values.
#[derive(Clone, Debug)]
pub(crate) struct ValueSource {
    place: ValuePlace,
    /// The field's, header's or parameter's name.
    name: Arc<str>,
    ty: SchemaType,
    /// The schema's name, such as `io.debezium.time.Timestamp`.
    logical: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValuePlace {
    Key,
    KeyField,
    Value,
    ValueField,
    Header,
    Parameter,
    /// Topic, partition, offset and timestamp.
    Coordinate,
}

impl ValueSource {
    /// Describes the source of a record's column.
    pub(crate) fn of(column: &RecordColumn) -> Self {
        let place = match &column.slot {
            ValueSlot::Key => ValuePlace::Key,
            ValueSlot::KeyField(_) => ValuePlace::KeyField,
            ValueSlot::Value => ValuePlace::Value,
            // a key of pk.mode=record_value is a field of the value, too, but cannot be left out
            ValueSlot::ValueField(_) if column.key => ValuePlace::KeyField,
            ValueSlot::ValueField(_) => ValuePlace::ValueField,
            ValueSlot::Header(_) => ValuePlace::Header,
            ValueSlot::Topic | ValueSlot::Partition | ValueSlot::Offset | ValueSlot::Timestamp => {
                ValuePlace::Coordinate
            }
        };
        let name = match &column.slot {
            ValueSlot::Header(header) => header,
            _ => &column.field,
        };
        Self::new(place, name, &column.schema)
    }

    /// Describes a parameter of a statement that the user wrote.
    pub(crate) fn parameter(name: &Arc<str>, schema: &Schema) -> Self {
        Self::new(ValuePlace::Parameter, name, schema)
    }

    fn new(place: ValuePlace, name: &Arc<str>, schema: &Schema) -> Self {
        Self {
            place,
            name: Arc::clone(name),
            ty: schema.ty,
            logical: schema.name.clone(),
        }
    }

    /// Returns the same source with the type of a value that has its own schema.
    pub(crate) fn typed(&self, schema: &Schema) -> Self {
        Self::new(self.place, &self.name, schema)
    }

    /// Returns the field, the type that it has, the type of its column, and what helps. `why` is the
    /// text before, which may name a transform already.
    pub(crate) fn line(&self, column_type: Option<&str>, why: &str) -> String {
        let name = &self.name;
        let what = match self.place {
            ValuePlace::Key => "The record's key".to_owned(),
            ValuePlace::Value => "The record's value".to_owned(),
            ValuePlace::KeyField => format!("The key field {name}"),
            ValuePlace::ValueField => format!("The field {name}"),
            ValuePlace::Header => format!("The header {name}"),
            ValuePlace::Parameter => format!("The parameter :{name}"),
            ValuePlace::Coordinate => format!("The value of {name}"),
        };
        let ty = self.ty.name();
        let ty = match &self.logical {
            Some(logical) => format!("{ty} ({logical})"),
            None => ty.to_owned(),
        };
        let column = column_type.map_or_else(String::new, |column_type| {
            format!(", and the column's type is {column_type}")
        });
        let remedies = self.remedies(why);
        format!("{what} is {ty}{column}. {remedies}")
    }

    fn remedies(&self, why: &str) -> String {
        const SKIP: &str = "errors.tolerance=all skips such records.";
        let has_transform = why.contains("transform ");
        let change = match self.place {
            _ if has_transform => "",
            ValuePlace::Coordinate => "",
            ValuePlace::Header => "The transform InsertHeader can set another value. ",
            _ => "A transform (Expression, Cast) can change the value. ",
        };
        let choose = match self.place {
            ValuePlace::ValueField => "The field can be left out with field.exclude.list, and ",
            ValuePlace::Key | ValuePlace::KeyField => {
                "Another key can be chosen with pk.mode and pk.fields, and "
            }
            ValuePlace::Value => "An object as value is written to one column per field, and ",
            ValuePlace::Header => "The header can be left out with headers.columns, and ",
            ValuePlace::Parameter => "The SQL of statement can convert it, and ",
            ValuePlace::Coordinate => "The column can be left out with kafka.columns, and ",
        };
        format!("{change}{choose}{SKIP}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Schema, SchemaType};

    use super::ValueSource;
    use crate::sink::config::columns::{RecordColumn, ValueSlot};

    #[test]
    fn each_place_has_its_name_its_type_and_the_keys_that_help() {
        let column = |slot, key| RecordColumn {
            name: Arc::from("b_1"),
            field: Arc::from("b1"),
            schema: Arc::new(Schema {
                name: Some(Arc::from("x.Y")),
                ..Schema::of(SchemaType::String)
            }),
            key,
            slot,
        };
        for (slot, key, start, keys) in [
            (
                ValueSlot::ValueField(0),
                false,
                "The field b1 is STRING (x.Y), and the column's type is uuid. ",
                "field.exclude.list",
            ),
            (
                ValueSlot::ValueField(0),
                true,
                "The key field b1 is ",
                "pk.fields",
            ),
            (
                ValueSlot::KeyField(0),
                true,
                "The key field b1 is ",
                "pk.fields",
            ),
            (ValueSlot::Key, true, "The record's key is ", "pk.mode"),
            (
                ValueSlot::Value,
                false,
                "The record's value is ",
                "A transform",
            ),
            (
                ValueSlot::Header(Arc::from("h")),
                false,
                "The header h is ",
                "headers.columns",
            ),
            (
                ValueSlot::Topic,
                false,
                "The value of b1 is ",
                "kafka.columns",
            ),
        ] {
            let line = ValueSource::of(&column(slot, key)).line(Some("uuid"), "");
            assert!(line.starts_with(start) && line.contains(keys), "{line}");
            assert!(
                line.ends_with("errors.tolerance=all skips such records."),
                "{line}"
            );
        }
        let source = ValueSource::of(&column(ValueSlot::ValueField(0), false));
        let line = source.line(None, "the transform Cast removes it");
        assert_eq!(
            line,
            "The field b1 is STRING (x.Y). The field can be left out with \
             field.exclude.list, and errors.tolerance=all skips such records."
        );
    }
}
