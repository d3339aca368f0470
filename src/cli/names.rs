//! Names of connectors on the command line: with or without the noun `connector`, as kcctl takes
//! them, or as regular expressions.

use clap::Args;
use connector_api::pattern::Pattern;
use connector_api::{Error, Result};

use super::client::RestClient;
use super::shell::connector_names;

/// Names of connectors.
#[derive(Args, Clone, Debug)]
pub(super) struct ConnectorNames {
    /// Names of connectors; the word connector may precede them
    #[arg(required = true, value_name = "NAME", add = connector_names())]
    names: Vec<String>,
    /// The names are regular expressions, which match whole names
    #[arg(short = 'e', long = "reg-exp")]
    reg_exp: bool,
}

impl ConnectorNames {
    /// Returns the names without a noun.
    fn given(&self) -> &[String] {
        after_noun(&self.names, &["connector", "connectors"]).unwrap_or(&self.names)
    }

    /// Returns the names after another noun, if there is one.
    pub(super) fn after(&self, noun: &[&str]) -> Option<&[String]> {
        after_noun(&self.names, noun)
    }

    /// Returns the connectors meant. Errors: `Config` for an expression that cannot be read, `Record`
    /// if one matches nothing.
    pub(super) async fn connectors(&self, client: &RestClient) -> Result<Vec<String>> {
        let given = self.given();
        if !self.reg_exp {
            return Ok(given.to_vec());
        }
        let all: Vec<String> = client.get("/connectors").await?;
        let mut found: Vec<String> = Vec::new();
        for text in given {
            let pattern = Pattern::whole(text)
                .map_err(|e| Error::config(format!("{text} is no regular expression: {e}")))?;
            let before = found.len();
            let matching = all
                .iter()
                .filter(|name| pattern.matches(name).unwrap_or(false));
            found.extend(matching.cloned());
            if found.len() == before {
                return Err(Error::record(format!("no connector matches {text}")));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

/// Returns what follows one of these nouns. A single word is always a name.
fn after_noun<'a>(words: &'a [String], nouns: &[&str]) -> Option<&'a [String]> {
    match words {
        [first, names @ ..] if !names.is_empty() && nouns.contains(&first.as_str()) => Some(names),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_may_precede_names_and_a_single_word_is_a_name() {
        let names = |words: &[&str]| ConnectorNames {
            names: words.iter().map(|word| (*word).to_owned()).collect(),
            reg_exp: false,
        };
        assert_eq!(names(&["connector", "a"]).given(), ["a"]);
        assert_eq!(names(&["connectors", "a", "b"]).given(), ["a", "b"]);
        assert_eq!(names(&["a", "b"]).given(), ["a", "b"]);
        assert_eq!(names(&["connector"]).given(), ["connector"]);
        assert_eq!(names(&["connector", "connector"]).given(), ["connector"]);
        assert_eq!(names(&["task", "a/0"]).after(&["task"]).unwrap(), ["a/0"]);
        assert!(names(&["a"]).after(&["task"]).is_none());
    }
}
