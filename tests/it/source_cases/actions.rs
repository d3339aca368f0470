//! What a case does to its connector, and waiting until it is done.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::Answer;

use super::database::Database;
use super::play::{Case, Failure, list, sorted};

/// How long an answer of 409 (try again) is tried again.
const AGAIN_WITHIN: Duration = Duration::from_secs(40);

impl Case<'_> {
    /// Does one step; what was answered.
    pub(super) async fn act(
        &mut self,
        step: &Value,
        database: &mut Database,
    ) -> Result<Value, Failure> {
        let (name, argument) = match step {
            Value::String(name) => (name.as_str(), &Value::Null),
            Value::Object(members) => members
                .iter()
                .next()
                .map(|(n, v)| (n.as_str(), v))
                .expect("an action"),
            other => return Err(format!("no action: {other}")),
        };
        match name {
            "sleep_s" => {
                tokio::time::sleep(Duration::from_secs_f64(argument.as_f64().expect("seconds")))
                    .await;
            }
            "sql" => {
                for statement in list(argument) {
                    database.send(statement.as_str().expect("SQL")).await?;
                }
            }
            "create" | "validate" | "update" => return Ok(self.configure(name, argument).await),
            _ => return self.call(name, argument).await,
        }
        Ok(json!({"do": name}))
    }

    async fn configure(&mut self, name: &str, changes: &Value) -> Value {
        let mut config = self.filled(&self.recording["config"]);
        for (key, value) in changes.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let members = config.as_object_mut().expect("a config");
        members.retain(|_, value| !value.is_null());
        // records without a key are the peers' only choice
        members.insert("key.mode".to_owned(), "none".into());
        match name {
            "validate" => {
                members.insert("name".to_owned(), self.run.into());
                let class = config["connector.class"]
                    .as_str()
                    .and_then(|class| class.rsplit('.').next());
                let path = format!(
                    "/connector-plugins/{}/config/validate",
                    class.expect("a class")
                );
                validation(&self.send("PUT", &path, Some(&config)).await)
            }
            "update" => {
                let answer = self.send("PUT", &self.path("/config"), Some(&config)).await;
                // what the former tasks had under way comes first
                tokio::time::sleep(Duration::from_secs(1)).await;
                reported(name, &answer)
            }
            _ => {
                let body = json!({"name": self.run, "config": config});
                let answer = self.send("POST", "/connectors", Some(&body)).await;
                self.exists |= answer.status == 201;
                reported(name, &answer)
            }
        }
    }

    async fn call(&mut self, name: &str, argument: &Value) -> Result<Value, Failure> {
        let (method, rest) = match name {
            "pause" => ("PUT", "/pause"),
            "resume" => ("PUT", "/resume"),
            "stop" => ("PUT", "/stop"),
            "delete" => ("DELETE", ""),
            "restart" => ("POST", "/restart?includeTasks=true&onlyFailed=false"),
            "restart_task" => ("POST", "/tasks/0/restart"),
            "delete_offsets" => ("DELETE", "/offsets"),
            "alter_offsets" => ("PATCH", "/offsets"),
            "get_offsets" => ("GET", "/offsets"),
            "get_tasks" => ("GET", "/tasks"),
            _ => return Err(format!("unknown action {name}")),
        };
        let body = (name == "alter_offsets").then(|| json!({"offsets": argument}));
        let answer = self.send(method, &self.path(rest), body.as_ref()).await;
        Ok(match name {
            "get_offsets" => {
                json!({"do": name, "status": answer.status, "body": sorted(answer.body)})
            }
            "get_tasks" => {
                let tasks = answer.body.as_array().cloned().unwrap_or_default();
                let tables: Vec<_> = tasks
                    .iter()
                    .map(|task| task["config"]["tables"].clone())
                    .collect();
                json!({"do": name, "status": answer.status, "tables": tables})
            }
            _ => {
                if answer.status < 300 {
                    self.settle(name).await;
                }
                reported(name, &answer)
            }
        })
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let begun = Instant::now();
        loop {
            let body = body.map(|body| ("application/json", body.to_string()));
            let answer = self.rest.send(method, path, body).await;
            let again = answer.status == 409 && !answer.text.contains("already exists");
            if !again || begun.elapsed() > AGAIN_WITHIN {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until what was accepted has taken effect, so that phases do not overlap.
    async fn settle(&mut self, name: &str) {
        let ended = ["RUNNING", "FAILED"];
        match name {
            "pause" => {
                self.wait_for(|s| s.connector == "PAUSED" && s.tasks_are(&["PAUSED", "FAILED"]))
                    .await;
            }
            "stop" => {
                self.wait_for(|s| s.connector == "STOPPED" && s.tasks.is_empty())
                    .await;
            }
            "resume" => {
                let done = |s: &super::play::Status| !s.tasks.is_empty() && s.tasks_are(&ended);
                self.wait_for(|s| ended.contains(&s.connector.as_str()) && done(s))
                    .await;
            }
            "restart" | "restart_task" => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                self.wait_for(|s| ended.contains(&s.connector.as_str()) && s.tasks_are(&ended))
                    .await;
            }
            "delete" => {
                self.wait_for(|s| s.connector == "http 404").await;
                self.exists = false;
            }
            _ => {}
        }
    }
}

fn reported(name: &str, answer: &Answer) -> Value {
    let mut reported = json!({"do": name, "status": answer.status});
    if answer.body.get("message").is_some() {
        reported["message"] = answer.message().into();
    }
    reported
}

fn validation(answer: &Answer) -> Value {
    let mut reported = json!({"do": "validate", "status": answer.status});
    if answer.status == 200 {
        let entries = answer.body["configs"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let wrong = entries
            .iter()
            .map(|entry| &entry["value"])
            .filter(|value| value["errors"] != json!([]));
        reported["error_count"] = answer.body["error_count"].clone();
        reported["errors"] = wrong
            .map(|value| {
                (
                    value["name"].as_str().unwrap_or_default().to_owned(),
                    value["errors"].clone(),
                )
            })
            .collect();
    }
    reported
}
