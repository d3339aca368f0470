//! Debezium's change events without a schema, as JsonConverter produces and reads them with
//! `schemas.enable=false`.
//!
//! Pure. With a schema, an event is recognised by the schema's name; without one, by its members.

use connector_api::{Error, Result, SinkRecord, Value};

use super::{AdaptRules, Adapted, Adapter};

/// A change event without a schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainEvent<'a> {
    op: &'a str,
    /// The row after the change, or null.
    pub after: &'a Value,
}

impl PlainEvent<'_> {
    /// True if the event deletes its row.
    pub(super) fn is_deletion(&self) -> bool {
        self.op == "d"
    }
}

/// Recognises a change event: one of Debezium's letters in `op`, objects or null in `before` and
/// `after`, and in `source` an object that names the connector.
pub(super) fn of(value: &Value) -> Option<PlainEvent<'_>> {
    let Value::Map(members) = value else {
        return None;
    };
    let (mut op, mut after, mut has_states, mut has_source) = (None, &Value::Null, false, false);
    for (name, value) in members {
        match (name.as_str()?, value) {
            ("op", Value::Text(letter)) => op = Some(&**letter),
            ("after", Value::Map(_) | Value::Null) => (after, has_states) = (value, true),
            ("before", Value::Map(_) | Value::Null) => has_states = true,
            ("source", Value::Map(source)) => has_source = source.iter().any(is_connector),
            ("op" | "after" | "before" | "source", _) => return None,
            _ => {}
        }
    }
    let op = op.filter(|_| has_source)?;
    let is_event = match op {
        "c" | "u" | "d" | "r" => has_states,
        "t" | "m" => true,
        _ => false,
    };
    is_event.then_some(PlainEvent { op, after })
}

fn is_connector((name, value): &(Value, Value)) -> bool {
    name.as_str() == Some("connector") && value.as_str().is_some()
}

/// Returns the outcome of a change event that does not depend on its row; `None`: its row is
/// written or deleted.
/// Errors: `Record` if the event lacks the row that it is about.
pub(super) fn outcome_without_row(
    op: &str,
    row: &Value,
    rules: &AdaptRules,
) -> Result<Option<Adapted>> {
    Ok(match op {
        "d" if rules.deletes => None,
        "d" | "m" => Some(Adapted::Skip),
        "t" => Some(if rules.truncates {
            Adapted::Truncate
        } else {
            Adapted::Skip
        }),
        _ if row.is_null() => {
            return Err(Error::record(
                "the change event has no row after the change (its field after is null)",
            ));
        }
        _ => None,
    })
}

impl Adapter {
    /// Returns the change event in a record without a schema.
    pub(super) fn plain_event<'a>(&self, record: &'a SinkRecord) -> Option<PlainEvent<'a>> {
        let value = &record.record.value;
        (self.rules.unwrap && value.schema.is_none())
            .then(|| of(&value.value))
            .flatten()
    }

    /// Returns the outcome of a change event without a schema that does not depend on its table.
    /// `None`: it depends on the table, or is no change event.
    pub(crate) fn event_outcome(&self, record: &SinkRecord) -> Option<Result<Adapted>> {
        let event = self.plain_event(record)?;
        outcome_without_row(event.op, event.after, &self.rules).transpose()
    }

    /// Returns the outcome of a record without a schema whose table does not exist: a deletion is
    /// skipped, because there is no row to delete. Others pass unchanged: a table cannot be created
    /// from them.
    pub(crate) fn without_table(&self, record: &SinkRecord) -> Adapted {
        let deletes = record.record.value.value.is_null()
            || self.plain_event(record).is_some_and(|e| e.is_deletion());
        if deletes {
            Adapted::Skip
        } else {
            Adapted::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::of;

    fn object(members: &[(&str, Value)]) -> Value {
        Value::Map(
            members
                .iter()
                .map(|(name, value)| (text(name), value.clone()))
                .collect(),
        )
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn an_event_is_known_by_its_members() {
        let (row, source) = (
            object(&[("id", Value::I64(1))]),
            object(&[("connector", text("mysql"))]),
        );
        let event = |op: &str| {
            vec![
                ("op", text(op)),
                ("after", row.clone()),
                ("source", source.clone()),
            ]
        };
        for op in ["c", "u", "r", "d", "t", "m"] {
            assert_eq!(
                of(&object(&event(op))).map(|event| event.is_deletion()),
                Some(op == "d"),
                "{op}"
            );
        }
        let with = |name: &'static str, value: Value| {
            let mut members = event("c");
            members.retain(|(known, _)| *known != name);
            members.push((name, value));
            of(&object(&members)).is_some()
        };
        assert!(
            with("before", Value::Null)
                && with("ts_ms", Value::I64(1))
                && with("after", Value::Null)
        );
        assert!(!with("op", text("x")) && !with("op", Value::I64(1)) && !with("after", text("{}")));
        assert!(
            !with("source", text("mysql"))
                && !with("source", object(&[]))
                && !with("before", Value::I64(1))
        );
        // a row with columns of these names
        assert!(of(&object(&[("op", text("c")), ("source", text("web"))])).is_none());
        assert!(of(&object(&[("op", text("c")), ("source", source)])).is_none());
    }
}
