//! `-o`: answers of the worker as a table, or as the documents they are.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::print::{json, outln};
use crate::observe::guard::ascii_escaped;

/// How to print an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people
    #[default]
    #[value(alias = "text")]
    Table,
    /// For people, with more columns
    Wide,
    /// The worker's JSON
    Json,
    /// The same as YAML
    Yaml,
}

/// The format of a command's output.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct OutputArgs {
    /// How to print it
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    format: OutputFormat,
    /// The same as -o json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl OutputArgs {
    /// True if the answer itself is wanted.
    pub(super) fn is_document(self) -> bool {
        self.json || matches!(self.format, OutputFormat::Json | OutputFormat::Yaml)
    }

    /// True if a table may have more columns.
    pub(super) fn is_wide(self) -> bool {
        self.format == OutputFormat::Wide
    }

    /// Prints an answer as the document that is wanted.
    pub(super) fn document(self, value: &Value) {
        if self.format == OutputFormat::Yaml {
            outln!("{}", yaml(value).trim_end());
        } else {
            outln!("{}", json(value));
        }
    }
}

impl OutputArgs {
    /// Prints one of several answers as they come: a line of JSON, or a document of YAML.
    pub(super) fn one_of_many(self, value: &Value) {
        if self.format == OutputFormat::Yaml {
            outln!("---\n{}", yaml(value).trim_end());
        } else {
            outln!("{}", ascii_escaped(&value.to_string()));
        }
    }
}

/// Formats a document as YAML. All texts are quoted as in JSON, so that none is taken for something
/// else.
pub(super) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) if items.is_empty() => Some("[]".to_owned()),
        Value::Object(members) if members.is_empty() => Some("{}".to_owned()),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(ascii_escaped(&other.to_string())),
    }
}

fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                match scalar(item) {
                    Some(text) => out.push_str(&format!("{indent}- {text}\n")),
                    None => {
                        let mut nested = String::new();
                        block(item, depth + 1, &mut nested);
                        // The first line of a nested block follows the dash.
                        let nested = nested.get(indent.len() + 2..).unwrap_or_default();
                        out.push_str(&format!("{indent}- {nested}"));
                    }
                }
            }
        }
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let name = name_text(name);
                match scalar(member) {
                    Some(text) => out.push_str(&format!("{indent}{name}: {text}\n")),
                    None => {
                        out.push_str(&format!("{indent}{name}:\n"));
                        block(member, depth + 1, out);
                    }
                }
            }
        }
        other => out.push_str(&format!("{indent}{}\n", scalar(other).unwrap_or_default())),
    }
}

/// Returns the name of a member, quoted unless it can only be a text.
fn name_text(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c));
    let taken = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if plain && !taken.contains(&name.to_ascii_lowercase().as_str()) {
        name.to_owned()
    } else {
        ascii_escaped(&Value::from(name).to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::yaml;

    #[test]
    fn documents_are_yaml() {
        let document = json!({"name": "a", "config": {"x.y": "1", "no": "on", "a b": null}, "empty": [], "tasks": [{"id": 0, "list": [[1, 2], {"a": true}]}, "t\n"]});
        let want = "name: \"a\"\nconfig:\n  x.y: \"1\"\n  \"no\": \"on\"\n  \"a b\": null\nempty: []\ntasks:\n  - id: 0\n    list:\n      - - 1\n        - 2\n      - a: true\n  - \"t\\n\"\n";
        assert_eq!(yaml(&document), want);
        assert_eq!(yaml(&json!("x")), "\"x\"\n");
    }
}
