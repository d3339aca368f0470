//! Plays one case: its phases, and what there is to see after each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use testkit::Rest;

use super::database::Database;
use super::watch::Watch;
use super::{LITTLE, PLENTY};
use crate::recording::mapped;

/// Why a case could not be played.
pub(super) type Failure = String;

/// After the records that were waited for no others may come within this time.
const SETTLE: Duration = Duration::from_millis(800);
/// How often states are looked at.
const TICK: Duration = Duration::from_millis(150);

/// One case while it is played.
pub(super) struct Case<'a> {
    pub(super) recording: &'a Value,
    pub(super) run: &'a str,
    pub(super) rest: &'a Rest,
    watch: &'a Watch,
    names: Vec<(&'static str, String)>,
    /// Records of each partition that an earlier phase has had.
    taken: BTreeMap<(String, i32), usize>,
    /// How long records and states are waited for.
    /// Whether it is listed as differing.
    listed: bool,
    patience: Duration,
    pub(super) exists: bool,
}

/// States of a connector and its tasks, with the first lines of their traces.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Status {
    pub(super) connector: String,
    pub(super) tasks: Vec<String>,
    traces: Vec<String>,
}

impl Status {
    /// Whether it has tasks, all in one of these states.
    pub(super) fn tasks_are(&self, states: &[&str]) -> bool {
        self.tasks
            .iter()
            .all(|task| states.contains(&task.as_str()))
    }

    fn json(&self) -> Value {
        let mut status = json!({"connector": self.connector, "tasks": self.tasks});
        if !self.traces.is_empty() {
            status["trace"] = self.traces.clone().into();
        }
        status
    }

    fn is(&self, want: &Value) -> bool {
        want["connector"] == *self.connector && want["tasks"] == json!(self.tasks)
    }

    fn moves(&self) -> bool {
        self.tasks
            .iter()
            .chain([&self.connector])
            .any(|state| state == "UNASSIGNED" || state == "RESTARTING")
    }
}

impl<'a> Case<'a> {
    pub(super) fn new(
        recording: &'a Value,
        run: &'a str,
        rest: &'a Rest,
        watch: &'a Watch,
        names: Vec<(&'static str, String)>,
        listed: bool,
    ) -> Self {
        let patience = if listed { LITTLE } else { PLENTY };
        Self {
            recording,
            run,
            rest,
            watch,
            names,
            taken: BTreeMap::new(),
            listed,
            patience,
            exists: false,
        }
    }

    /// What was seen, in the form of the recording's `expected`.
    pub(super) async fn play(mut self) -> Result<Value, Failure> {
        let mut database = Database::create(self.recording, self.run).await?;
        let seen = self.phases(&mut database).await;
        self.rest.delete(&self.path("")).await;
        database.drop(self.run).await?;
        seen
    }

    async fn phases(&mut self, database: &mut Database) -> Result<Value, Failure> {
        let mut phases = Vec::new();
        for (number, phase) in list(&self.recording["phases"]).into_iter().enumerate() {
            let want = &self.recording["expected"]["phases"][number]["status"];
            phases.push(self.phase(phase, want, database).await?);
        }
        let mut seen = json!({"phases": phases});
        if self.exists {
            if self.status().await.connector != "STOPPED" {
                self.act(&"stop".into(), database).await?;
            }
            let answer = self.rest.get(&self.path("/offsets")).await;
            seen["offsets"] = if answer.status == 200 {
                sorted(answer.body)
            } else {
                json!({"status": answer.status})
            };
        }
        seen["offsets_topic"] = self.final_offsets().await;
        let counts = self.watch.records(self.run);
        seen["topics"] = counts
            .iter()
            .map(|(topic, by)| (topic.clone(), Value::from(by.len())))
            .collect();
        if self.recording["repeats"] != true {
            seen["late_records"] = self.take(usize::MAX);
        }
        Ok(self.generalised(seen))
    }

    async fn phase(
        &mut self,
        phase: &Value,
        want: &Value,
        database: &mut Database,
    ) -> Result<Value, Failure> {
        let statements: Vec<Value> = list(&phase["sql"])
            .iter()
            .map(|statement| self.filled(statement))
            .collect();
        let statements: Vec<&str> = statements.iter().filter_map(Value::as_str).collect();
        if self.exists && only_change_rows(&statements) {
            database.send_together(&statements).await?;
        } else {
            for statement in statements {
                database.send(statement).await?;
            }
        }
        let mut seen = Map::new();
        let mut answers = Vec::new();
        for step in list(&phase["do"]) {
            answers.push(self.act(&self.filled(step), database).await?);
        }
        if !answers.is_empty() {
            seen.insert("answers".to_owned(), answers.into());
        }
        let mut limit = usize::MAX;
        if let Some(count) = phase["records"].as_u64() {
            let count = usize::try_from(count).expect("a count");
            self.wait_for_records(count).await;
            if phase["more"] == true {
                limit = count;
            } else {
                tokio::time::sleep(SETTLE).await;
            }
        } else if let Some(state) = phase["task"].as_str() {
            self.wait_for(|status| !status.tasks.is_empty() && status.tasks_are(&[state]))
                .await;
            tokio::time::sleep(SETTLE).await;
        } else if let Some(state) = phase["connector"].as_str() {
            self.wait_for(|status| status.connector == state).await;
            tokio::time::sleep(SETTLE).await;
        } else if let Some(seconds) = phase["quiet_s"].as_f64() {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            self.wait_for_a_difference(want).await;
        }
        if self.exists {
            seen.insert("status".to_owned(), self.stable_status(want).await.json());
        }
        seen.insert("records".to_owned(), self.take(limit));
        Ok(seen.into())
    }

    /// A listed case in which nothing was recorded has as long to show its difference as others have to agree.
    async fn wait_for_a_difference(&self, want: &Value) {
        let begun = Instant::now();
        while self.listed && self.exists && begun.elapsed() < PLENTY && self.status().await.is(want)
        {
            let offsets = self.generalised(self.watch.offsets(self.run).into());
            if offsets != self.recording["expected"]["offsets_topic"] {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits for that many records since the last phase; not to the end once a task has failed.
    async fn wait_for_records(&self, count: usize) {
        let begun = Instant::now();
        let had: usize = self.taken.values().sum();
        while self.watch.count(self.run) < had + count && begun.elapsed() < self.patience {
            tokio::time::sleep(TICK).await;
            let late = self.exists && begun.elapsed() > Duration::from_secs(4);
            if late
                && self
                    .status()
                    .await
                    .tasks
                    .iter()
                    .any(|task| task == "FAILED")
            {
                return;
            }
        }
    }

    /// The records that no phase has had, by topic; at most `limit`.
    fn take(&mut self, mut limit: usize) -> Value {
        let mut out = Map::new();
        for (topic, partitions) in self.watch.records(self.run) {
            let mut fresh = Vec::new();
            for (number, records) in partitions {
                let taken = self.taken.entry((topic.clone(), number)).or_default();
                let new: Vec<_> = records[*taken..].iter().take(limit).cloned().collect();
                limit -= new.len();
                *taken = records.len();
                fresh.extend(new);
            }
            if !fresh.is_empty() {
                out.insert(topic, fresh.into());
            }
        }
        out.into()
    }

    /// Waits until the states are as wanted; not for ever.
    pub(super) async fn wait_for(&self, reached: impl Fn(&Status) -> bool) {
        let begun = Instant::now();
        while !reached(&self.status().await) && begun.elapsed() < self.patience {
            tokio::time::sleep(TICK).await;
        }
    }

    /// The states now.
    pub(super) async fn status(&self) -> Status {
        let answer = self.rest.get(&self.path("/status")).await;
        if answer.status != 200 {
            return Status {
                connector: format!("http {}", answer.status),
                tasks: Vec::new(),
                traces: Vec::new(),
            };
        }
        let mut tasks = answer.body["tasks"].as_array().cloned().unwrap_or_default();
        tasks.sort_by_key(|task| task["id"].as_i64());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let traced = [&answer.body["connector"]].into_iter().chain(&tasks);
        let traces = traced
            .filter_map(|part| part["trace"].as_str())
            .filter(|trace| !trace.is_empty());
        Status {
            connector: text(&answer.body["connector"]["state"]),
            traces: traces
                .map(|trace| trace.lines().next().unwrap_or_default().to_owned())
                .collect(),
            tasks: tasks.iter().map(|task| text(&task["state"])).collect(),
        }
    }

    /// The states as soon as they are the recorded ones, or when they have stopped to change.
    async fn stable_status(&self, want: &Value) -> Status {
        let begun = Instant::now();
        let (mut last, mut since) = (self.status().await, Instant::now());
        while !last.is(want) && begun.elapsed() < Duration::from_secs(15) {
            if since.elapsed() > Duration::from_secs(4) && !last.moves() {
                break;
            }
            tokio::time::sleep(TICK).await;
            let status = self.status().await;
            if status != last {
                (last, since) = (status, Instant::now());
            }
        }
        last
    }

    async fn final_offsets(&self) -> Value {
        let want = &self.recording["expected"]["offsets_topic"];
        let begun = Instant::now();
        loop {
            let seen = self.generalised(self.watch.offsets(self.run).into());
            if seen == *want || begun.elapsed() > Duration::from_secs(5) {
                return seen;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// A path of the connector.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/connectors/{}{rest}", self.run)
    }

    /// With values in the place of `{{name}}`, in every text.
    pub(super) fn filled(&self, value: &Value) -> Value {
        let text = |text: &str| {
            let mut text = text.to_owned();
            for (name, value) in &self.names {
                text = text.replace(&format!("{{{{{name}}}}}"), value);
            }
            text
        };
        mapped(value, &text)
    }

    /// With `{{run}}` in the place of its name.
    fn generalised(&self, value: Value) -> Value {
        mapped(&value, &|text: &str| text.replace(self.run, "{{run}}"))
    }
}

/// GET offsets lists the partitions in no particular order.
pub(super) fn sorted(mut body: Value) -> Value {
    if let Some(entries) = body["offsets"].as_array_mut() {
        entries.sort_by_key(canonical);
    }
    body
}

/// The text of a JSON value with its members in the order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members
                .iter()
                .map(|(name, value)| (name, canonical(value)))
                .collect();
            format!("{sorted:?}")
        }
        other => other.to_string(),
    }
}

/// A list, or one item in the place of a list, or nothing.
pub(super) fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// Whether these are changes of rows whose values do not depend on when they are made. In the recordings no poll came between
/// them; if one did, a timestamp column could hide the rows behind it.
fn only_change_rows(statements: &[&str]) -> bool {
    statements.iter().all(|statement| {
        let statement = statement.to_uppercase();
        let changes = ["INSERT ", "UPDATE ", "DELETE "];
        changes.iter().any(|verb| statement.starts_with(verb))
            && !["NOW(", "CURRENT_", "SYSDATE"]
                .iter()
                .any(|time| statement.contains(time))
    })
}
