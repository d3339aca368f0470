//! Secrets: who sees which, and that no text, log line or dead letter shows one, in whatever form.

mod canaries;
mod masks;
mod texts;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use testkit::{Rest, Settings, unique};

use crate::command_line::{local, printed, program};
use crate::lab;

/// Begins every secret of these tests, and nothing else.
const MARK: &str = "CANARY";

/// Where a text shows a secret: as it is, in other letters, or in base64 at any place.
fn shown_in(text: &str) -> Option<String> {
    let around = |at: usize| {
        let (from, to) = (
            text.floor_char_boundary(at.saturating_sub(200)),
            text.floor_char_boundary(at + 100),
        );
        text[from..to].to_owned()
    };
    let found = text.to_ascii_uppercase().find(MARK);
    let encoded = (0..3).find_map(|before| {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(MARK.bytes()).collect();
        let all = STANDARD_NO_PAD.encode(&padded);
        text.find(&all[(before * 8).div_ceil(6)..padded.len() * 8 / 6])
    });
    found.or(encoded).map(around)
}

#[track_caller]
fn assert_hidden(what: &str, text: &str) {
    if let Some(found) = shown_in(text) {
        panic!("{what} shows a secret: {found}");
    }
}

/// A token for each role, and the settings that let them in.
struct Users {
    file: String,
    tokens: BTreeMap<&'static str, String>,
}

impl Users {
    fn new() -> Self {
        let folder = lab().scratch().path().join(unique("secret-users"));
        std::fs::create_dir_all(&folder).unwrap();
        let (mut lines, mut tokens) = (String::new(), BTreeMap::new());
        for role in ["viewer", "operator", "admin"] {
            let (made, reported, _) = local(&["token", role, "--role", role]);
            lines.push_str(&made);
            tokens.insert(role, reported.trim().rsplit(' ').next().unwrap().to_owned());
        }
        let file = folder.join("users");
        std::fs::write(&file, lines).unwrap();
        Self {
            file: file.display().to_string(),
            tokens,
        }
    }

    fn admitted(&self, settings: Settings) -> Settings {
        settings.with("rowferry.auth.file", &self.file)
    }

    fn tokens(&self) -> impl Iterator<Item = &String> {
        self.tokens.values()
    }

    fn of(&self, role: &str, rest: &Rest) -> Rest {
        rest.with_token(&self.tokens[role])
    }

    /// What the command line prints, whatever becomes of it.
    fn command_line(&self, role: &str, rest: &Rest, args: &[&str]) -> String {
        let mut command = program(args);
        command
            .env("ROWFERRY_SERVER", rest.base())
            .env("ROWFERRY_TOKEN", &self.tokens[role]);
        let (out, errors, _) = printed(&mut command);
        out + &*errors
    }
}

/// Every GET of the OpenAPI document, for each of these connectors: path and answer.
async fn every_get(rest: &Rest, connectors: &[&str]) -> Vec<(String, String)> {
    let document = rest.get("/openapi.json").await.expect(200).body;
    let mut paths = vec![
        "/connectors?expand=info&expand=status".to_owned(),
        "/openapi.json".to_owned(),
    ];
    for (path, item) in document["paths"].as_object().unwrap() {
        if item.get("get").is_none() {
            continue;
        }
        let path = path
            .replace("{task}", "0")
            .replace("{logger}", "root")
            .replace("{plugin}", "JdbcSourceConnector")
            .replace("{partition}", "0")
            .replace("{offset}", "0");
        if path.contains("{connector}") {
            paths.extend(
                connectors
                    .iter()
                    .map(|connector| path.replace("{connector}", connector)),
            );
        } else {
            paths.push(path);
        }
    }
    assert!(
        paths.len() > 10 && !paths.iter().any(|path| path.contains('{')),
        "{paths:?}"
    );
    let mut answers = Vec::new();
    for path in paths {
        let answer = rest.get(&path).await;
        assert_ne!(answer.status, 401, "{path}");
        answers.push((path, answer.text));
    }
    answers
}

/// Whether a path shows configs, which administrators see as they were given.
fn shows_configs(path: &str) -> bool {
    let is_one = path
        .strip_prefix("/connectors/")
        .is_some_and(|name| !name.contains('/'));
    is_one
        || path.ends_with("/config") && path.starts_with("/connectors/")
        || path.contains("expand=info")
        || path.ends_with("/tasks")
}

/// A config with more keys.
fn with(config: &Value, more: Value) -> Value {
    let mut config = config.clone();
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}
