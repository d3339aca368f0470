//! Changes over REST, and what must be there after their answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::{Rest, for_condition};

use crate::SOON;

/// A change that a caller asks for.
#[derive(Clone, Debug)]
pub enum Change {
    /// A connector that was not there, stopped.
    Create(String),
    /// Another config.
    Put(String),
    /// From stopped to paused and back.
    Toggle(String),
    /// Its end.
    Delete(String),
}

impl Change {
    pub fn name(&self) -> &str {
        match self {
            Self::Create(name) | Self::Put(name) | Self::Toggle(name) | Self::Delete(name) => name,
        }
    }
}

/// What became of it, as far as the caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    Refused,
    /// The connection broke.
    Unanswered,
}

/// A sink that writes to nothing; each number gives another one.
pub fn config(folder: &str, number: usize) -> Value {
    json!({"connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": "store_none",
           "connection.url": format!("jdbc:sqlite:{folder}/target.db"), "table.name.format": format!("t{number}")})
}

/// The same with a long text.
pub fn large(folder: &str, number: usize) -> Value {
    let mut config = config(folder, number);
    config["fields.whitelist"] = json!("x".repeat(6_000));
    config
}

/// A connector as it must be: its config's distinguishing value and its state.
type Connector = (String, &'static str);

/// What must be there.
#[derive(Debug, Default)]
pub struct Known {
    connectors: BTreeMap<String, Connector>,
    /// Of a connector whose change was not answered: what may be there as well.
    or: BTreeMap<String, Option<Connector>>,
}

impl Known {
    /// Makes a change and takes account of the answer.
    pub async fn make(&mut self, rest: &Rest, change: &Change, config: &Value) -> Outcome {
        let name = change.name().to_owned();
        let before = self.connectors.get(&name).cloned();
        let value = config["table.name.format"].as_str().unwrap().to_owned();
        let (method, path, body, after) = match change {
            Change::Create(_) => {
                let body = json!({"name": name, "initial_state": "STOPPED", "config": config});
                (
                    "POST",
                    "/connectors".to_owned(),
                    Some(body),
                    Some((value, "STOPPED")),
                )
            }
            Change::Put(_) => {
                let after = before
                    .clone()
                    .map(|(_, state)| (format!("{value}x"), state));
                let mut config = config.clone();
                config["table.name.format"] = json!(format!("{value}x"));
                (
                    "PUT",
                    format!("/connectors/{name}/config"),
                    Some(config),
                    after,
                )
            }
            Change::Toggle(_) => {
                let (value, state) = before.clone().unwrap_or_default();
                let (verb, state) = if state == "STOPPED" {
                    ("pause", "PAUSED")
                } else {
                    ("stop", "STOPPED")
                };
                (
                    "PUT",
                    format!("/connectors/{name}/{verb}"),
                    None,
                    Some((value, state)),
                )
            }
            Change::Delete(_) => ("DELETE", format!("/connectors/{name}"), None, None),
        };
        let body = body.map(|body| ("application/json", body.to_string()));
        match rest.try_send(method, &path, body).await {
            Ok(answer) if answer.status < 300 => {
                self.set(name, after);
                Outcome::Acknowledged
            }
            Ok(answer) => {
                let (status, text) = (answer.status, answer.message());
                assert!(
                    [503, 507, 404, 409].contains(&status),
                    "{change:?}: {status} {text}"
                );
                if status > 500 {
                    assert!(
                        text.contains("metadata store"),
                        "{change:?}: {status} {text}"
                    );
                }
                Outcome::Refused
            }
            Err(_) => {
                self.or.insert(name, after);
                Outcome::Unanswered
            }
        }
    }

    fn set(&mut self, name: String, connector: Option<Connector>) {
        match connector {
            Some(connector) => drop(self.connectors.insert(name, connector)),
            None => drop(self.connectors.remove(&name)),
        }
    }

    /// What the worker shows is what must be there.
    pub async fn verify(&mut self, rest: &Rest, what: &str) {
        let shown = rest.get("/connectors?expand=info").await.expect(200).body;
        let shown: BTreeMap<String, String> = shown
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, c)| {
                (
                    name.clone(),
                    c["info"]["config"]["table.name.format"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                )
            })
            .collect();
        // What was not answered has happened or not; from now on it stays as it is.
        for (name, after) in std::mem::take(&mut self.or) {
            let before = self.connectors.get(&name).map(|(value, _)| value);
            let there = shown.get(&name);
            if there != before {
                assert_eq!(
                    there,
                    after.as_ref().map(|(value, _)| value),
                    "{what}: {name} is half there"
                );
                self.set(name, after);
            } else if let Some((value, state)) = &after
                && there == Some(value)
                && settled(rest, &name).await == *state
            {
                self.set(name, after);
            }
        }
        let expected: BTreeMap<_, _> = self
            .connectors
            .iter()
            .map(|(n, (value, _))| (n.clone(), value.clone()))
            .collect();
        assert_eq!(shown, expected, "{what}");
    }

    /// Waits until every connector is in its state.
    pub async fn wait_states(&self, rest: &Rest) {
        let mut shown = BTreeMap::new();
        let expected: BTreeMap<_, _> = self
            .connectors
            .iter()
            .map(|(name, (_, state))| (name.clone(), (*state).to_owned()))
            .collect();
        let end = std::time::Instant::now() + SOON;
        for_condition("the states that were asked for", SOON * 2, async || {
            let all = rest.get("/connectors?expand=status").await.expect(200).body;
            let state = |c: &Value| {
                c["status"]["connector"]["state"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            shown = all
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, c)| (name.clone(), state(c)))
                .collect();
            assert!(
                std::time::Instant::now() < end || shown == expected,
                "{shown:?} is not {expected:?}"
            );
            shown == expected
        })
        .await;
    }
}

/// The state of a connector once it has one of those that a change can lead to.
async fn settled(rest: &Rest, name: &str) -> String {
    let mut state = String::new();
    for_condition("a settled state", SOON, async || {
        let status = rest.get(&format!("/connectors/{name}/status")).await.body;
        state = status["connector"]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        state == "STOPPED" || state == "PAUSED"
    })
    .await;
    state
}
