//! Which field an error is about, and what to do about it: the lines below Connect's own text. Holds no value.

use std::sync::Arc;

use connector_api::{Error, Kind};

use super::plan::Node;

/// Names that are shown of a path.
const MOST_NAMES: usize = 32;

/// The line about values that are JSON within JSON.
pub(super) const TWICE: &str = "it is a text that holds a JSON object: the producer encoded it twice, by handing JSON \
     that was ready to a serializer of JSON; send the object itself, or read it with StringConverter";

/// Where an error was met, from the inside out.
#[derive(Default)]
pub(super) struct Trail {
    names: Vec<Arc<str>>,
    /// What the schema says the innermost one is.
    declared: Option<&'static str>,
    /// The value is an object in a text.
    pub(super) twice: bool,
    /// Kafka Connect takes such values, altered.
    pub(super) strict: bool,
}

impl Trail {
    /// Adds the field in which the error was met.
    #[cold]
    pub(super) fn met(&mut self, error: Error, name: &str, node: &Node) -> Error {
        self.declared.get_or_insert(node.schema.ty.name());
        if self.names.len() < MOST_NAMES {
            self.names.push(name.into());
        }
        error
    }

    /// The error with lines that tell its field.
    #[cold]
    pub(super) fn told(&self, error: Error) -> Error {
        let mut lines = vec![error.message().to_owned()];
        if let Some(declared) = self.declared {
            let path: Vec<_> = self.names.iter().rev().map(|name| &**name).collect();
            let path = path.join(".").replace(".[]", "[]").replace(".{}", "{}");
            let more = if self.names.len() == MOST_NAMES { "…" } else { "" };
            lines.push(format!("It is the field {more}{path} of the payload, which the schema declares {declared}."));
        }
        if self.twice {
            lines.push(format!("What was found there: {TWICE}."));
        }
        if self.strict {
            lines.push(
                "Payload and schema have to agree; the converter's key strict=false reads such values as Kafka Connect \
                 does, as 0 or null."
                    .to_owned(),
            );
        }
        if lines.len() == 1 || error.kind() != Kind::Record {
            return error;
        }
        Error::of_lines(Kind::Record, lines).of_class(error.class())
    }
}

/// Whether a text looks like a JSON object.
pub(super) fn holds_object(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}') && text.contains('"')
}
