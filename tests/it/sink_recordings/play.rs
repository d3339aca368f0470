//! One case: its phases are done in order, then what there is to see is collected and everything removed.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use testkit::{Answer, Entry, MariaDb, Postgres, Rest, Topics};

use super::compare;
use super::database::Database;
use crate::lab;
use crate::recording::mapped;

/// How long a case waits for its records, and for one answer of the broker.
const PATIENCE: Duration = Duration::from_secs(60);
/// Timestamp of a record whose case gives none.
const TIMESTAMP: i64 = 1_700_000_000_000;

/// Lines of difference between a case and what came of it here.
pub(super) async fn play(rest: &Rest, recording: &Value, run: &str) -> Vec<String> {
    let case = fill(recording, &placeholders(recording, run));
    let database = Database::create(&case, run).await;
    database.run(&case["setup_sql"]).await;
    let connector = format!("sink-{run}");
    let topics = lab().kafka().topics();
    let mut client = topics.client();
    client
        .set("group.id", format!("connect-{connector}"))
        .set("enable.auto.commit", "false");
    let group: BaseConsumer = client.create().expect("consumer");
    let (path, produced) = (format!("/connectors/{connector}"), Vec::new());
    let seen = Map::new();
    let mut one = Playing {
        rest,
        case: &case,
        database,
        topics,
        group,
        path,
        produced,
        seen,
        replies: Vec::new(),
        created: false,
    };
    one.make_topics().await;
    for (number, phase) in case["phases"].as_array().into_iter().flatten().enumerate() {
        one.phase(number, phase).await;
    }
    let seen = one.look(run).await;
    if one.created {
        one.send("DELETE", "", None).await;
    }
    one.database.drop().await;
    compare::differences(&case["expect"], &seen, &case["must_say"])
}

fn placeholders(case: &Value, run: &str) -> Vec<(String, String)> {
    let (mysql, postgres) = (
        lab().mariadb().port().to_string(),
        lab().postgres().port().to_string(),
    );
    let on_mysql = case["target"] == "mysql";
    let (user, password) = if on_mysql {
        (MariaDb::USER, MariaDb::PASSWORD)
    } else {
        (Postgres::USER, Postgres::PASSWORD)
    };
    let url = if on_mysql {
        lab().mariadb().jdbc_url(run)
    } else {
        lab().postgres().jdbc_url(run)
    };
    let brokers = lab().kafka().brokers();
    let names = [
        ("run", run),
        ("db", run),
        ("brokers", &brokers),
        ("mysql_host", "127.0.0.1"),
        ("mysql_port", &mysql),
        ("mysql_user", MariaDb::USER),
        ("mysql_password", MariaDb::PASSWORD),
        ("pg_host", "127.0.0.1"),
        ("pg_port", &postgres),
        ("pg_user", Postgres::USER),
        ("pg_password", Postgres::PASSWORD),
        ("connection_url", &url),
        ("db_user", user),
        ("db_password", password),
    ];
    names
        .map(|(name, value)| (format!("{{{{{name}}}}}"), value.to_owned()))
        .to_vec()
}

/// Puts values in the place of `{{name}}` in every text and key.
fn fill(value: &Value, names: &[(String, String)]) -> Value {
    let text = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    };
    mapped(value, &text)
}

struct Playing<'a> {
    rest: &'a Rest,
    case: &'a Value,
    database: Database,
    topics: Topics,
    group: BaseConsumer,
    path: String,
    /// Topic, partition, how many records.
    produced: Vec<(String, i32, i64)>,
    seen: Map<String, Value>,
    replies: Vec<Value>,
    created: bool,
}

impl Playing<'_> {
    /// The topics of the case, and those that records go to, unless a later phase makes them.
    async fn make_topics(&self) {
        let phases = self.case["phases"].as_array().into_iter().flatten();
        let records = phases
            .clone()
            .flat_map(|phase| phase["produce"].as_array().into_iter().flatten());
        let named = |topics: &Value| topics.as_object().cloned().unwrap_or_default();
        let mut wanted = named(&self.case["topics"]);
        let later: Vec<_> = phases
            .flat_map(|phase| named(&phase["make_topics"]))
            .map(|(topic, _)| topic)
            .collect();
        for topic in records
            .filter_map(|record| record["topic"].as_str())
            .filter(|t| !later.iter().any(|l| l == t))
        {
            wanted.entry(topic.to_owned()).or_insert_with(|| json!(1));
        }
        self.create_topics(&wanted).await;
    }

    async fn create_topics(&self, topics: &Map<String, Value>) {
        for (topic, partitions) in topics {
            let partitions = partitions
                .as_i64()
                .and_then(|n| i32::try_from(n).ok())
                .expect("a number of partitions");
            self.topics.create(topic, partitions).await;
        }
    }

    async fn phase(&mut self, number: usize, phase: &Value) {
        if let Some(records) = phase["produce"].as_array() {
            self.produce(records);
        }
        if let Some(topics) = phase["make_topics"].as_object() {
            self.create_topics(topics).await;
        }
        if phase["sql"].is_array() {
            self.database.run(&phase["sql"]).await;
        }
        if phase["create"].is_object() {
            let name = self.path.rsplit('/').next().unwrap_or_default();
            let body = json!({"name": name, "config": phase["create"]});
            let answer = self.ask("POST", None, Some(&body)).await;
            self.created |= answer.status == 201;
            self.reply(number, "create", &answer);
        }
        if phase["put_config"].is_object() {
            let answer = self
                .ask("PUT", Some("/config"), Some(&phase["put_config"]))
                .await;
            self.reply(number, "put_config", &answer);
        }
        if let Some(action) = phase["action"].as_str() {
            self.action(number, action, phase).await;
        }
        if !phase["wait"].is_null() && self.created {
            self.wait(&phase["wait"]).await;
        }
        if let Some(name) = phase["snapshot"].as_str() {
            let tables = self.tables().await;
            let tables = tables.as_object().into_iter().flatten();
            let rows: Map<_, _> = tables
                .map(|(name, table)| (name.clone(), table["rows"].clone()))
                .collect();
            let mut snapshot = self.states().await;
            snapshot.insert("rows".to_owned(), rows.into());
            let snapshots = self.seen.entry("snapshots").or_insert_with(|| json!({}));
            snapshots[name] = snapshot.into();
        }
    }

    async fn action(&mut self, number: usize, action: &str, phase: &Value) {
        let offsets = json!({"offsets": phase["offsets"]});
        let (method, path, body, state) = match action {
            "pause" => ("PUT", "/pause", None, Some("PAUSED")),
            "resume" => ("PUT", "/resume", None, Some("RUNNING")),
            "stop" => ("PUT", "/stop", None, Some("STOPPED")),
            "restart" => ("POST", "/restart?includeTasks=true", None, Some("RUNNING")),
            "restart_task" => ("POST", "/tasks/0/restart", None, Some("RUNNING")),
            "alter_offsets" => ("PATCH", "/offsets", Some(&offsets), None),
            "reset_offsets" => ("DELETE", "/offsets", None, None),
            "delete" => ("DELETE", "", None, None),
            other => panic!("unknown action {other}"),
        };
        let answer = self.ask(method, Some(path), body).await;
        self.reply(number, action, &answer);
        if let Some(state) = state {
            let patience = Duration::from_secs(if action.starts_with("restart") { 8 } else { 30 });
            self.await_state(state, patience).await;
        }
        if action == "delete" {
            self.await_empty_group().await;
        }
    }

    /// A request about the connector; without a path, about all of them.
    async fn ask(&self, method: &str, path: Option<&str>, body: Option<&Value>) -> Answer {
        let path = path.map_or("/connectors".to_owned(), |path| {
            format!("{}{path}", self.path)
        });
        let body = body.map(|body| ("application/json", body.to_string()));
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.rest.send(method, &path, body.clone()).await;
            let again = answer.status == 409 && !answer.text.contains("already exists");
            if !again || Instant::now() > end {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.ask(method, Some(path), body).await
    }

    fn reply(&mut self, phase: usize, request: &str, answer: &Answer) {
        let mut reply = json!({"phase": phase, "request": request, "status": answer.status});
        if answer.body["message"].is_string() {
            reply["message"] = lines(answer.message());
        }
        self.replies.push(reply);
    }

    fn produce(&mut self, records: &[Value]) {
        let producer: BaseProducer = self
            .topics
            .client()
            .set("linger.ms", "5")
            .create()
            .expect("producer");
        for record in records {
            let topic = record["topic"].as_str().expect("a topic");
            let partition = record["partition"]
                .as_i64()
                .and_then(|n| i32::try_from(n).ok())
                .unwrap_or(0);
            let repeat = record["repeat"].as_i64();
            for n in 0..repeat.unwrap_or(1) {
                let part = |name: &str| bytes(record, name, repeat.map(|_| n));
                let (key, value) = (part("key"), part("value"));
                let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
                message = message.timestamp(record["timestamp"].as_i64().unwrap_or(TIMESTAMP));
                message.key = key.as_deref();
                message.payload = value.as_deref();
                message.headers = headers(&record["headers"]);
                let mut unsent = Some(message);
                while let Some(message) = unsent.take() {
                    if let Err((error, message)) = producer.send(message) {
                        assert!(
                            error.to_string().contains("QueueFull"),
                            "produce to {topic}: {error}"
                        );
                        producer.poll(Duration::from_millis(10));
                        unsent = Some(message);
                    }
                }
                match self
                    .produced
                    .iter_mut()
                    .find(|(t, p, _)| t == topic && *p == partition)
                {
                    Some((.., count)) => *count += 1,
                    None => self.produced.push((topic.to_owned(), partition, 1)),
                }
            }
        }
        producer.flush(PATIENCE).expect("flush");
    }

    /// Whether the group has committed every record produced so far.
    fn all_committed(&self) -> bool {
        let mut wanted = TopicPartitionList::new();
        for (topic, partition, _) in &self.produced {
            wanted.add_partition(topic, *partition);
        }
        let Ok(committed) = self.group.committed_offsets(wanted, PATIENCE) else {
            return false;
        };
        self.produced.iter().all(|(topic, partition, count)| {
            let found = committed
                .find_partition(topic, *partition)
                .map(|found| found.offset());
            matches!(found, Some(Offset::Offset(offset)) if offset >= *count)
        })
    }

    /// Offsets that the group has committed, of the topics whose names hold that of the run.
    fn offsets(&self, run: &str) -> Value {
        let metadata = self.group.fetch_metadata(None, PATIENCE).expect("metadata");
        let mut wanted = TopicPartitionList::new();
        for topic in metadata
            .topics()
            .iter()
            .filter(|topic| topic.name().contains(run))
        {
            for partition in topic.partitions() {
                wanted.add_partition(topic.name(), partition.id());
            }
        }
        for topic in self.case["expect"]["group_offsets"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(topic, _)| topic)
        {
            if wanted.elements_for_topic(topic).is_empty() {
                wanted.add_partition(topic, 0);
            }
        }
        let committed = self
            .group
            .committed_offsets(wanted, PATIENCE)
            .expect("committed offsets");
        let mut found = json!({});
        let mut elements = committed.elements();
        elements.sort_by_key(|element| (element.topic().to_owned(), element.partition()));
        for element in elements {
            if let Offset::Offset(offset) = element.offset() {
                found[element.topic()][element.partition().to_string()] = json!(offset);
            }
        }
        found
    }

    async fn status(&self) -> Option<Value> {
        let answer = self.send("GET", "/status", None).await;
        (answer.status == 200).then_some(answer.body)
    }

    async fn failed(&self) -> bool {
        self.status().await.is_some_and(|status| {
            status["connector"]["state"] == "FAILED"
                || tasks(&status).any(|task| task["state"] == "FAILED")
        })
    }

    async fn wait(&mut self, what: &Value) {
        if let Some(seconds) = what["seconds"].as_f64() {
            // the case shows that nothing happens in that time
            return tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let reached = if what == "done" {
                self.all_committed() || self.failed().await
            } else if let Some(state) = what.get("task") {
                let status = self.status().await.unwrap_or_default();
                tasks(&status).next().is_some()
                    && tasks(&status).all(|task| task["state"] == *state)
            } else if let Some(wanted) = what["rows"].as_object() {
                let tables = self.tables().await;
                let rows = |table: &String| tables[table]["rows"].as_array().map_or(0, Vec::len);
                wanted
                    .iter()
                    .all(|(table, count)| rows(table) as u64 == count.as_u64().unwrap_or_default())
                    || self.failed().await
            } else {
                panic!("unknown wait {what}")
            };
            if reached {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let late = self.seen.entry("timed_out").or_insert_with(|| json!([]));
        late.as_array_mut()
            .into_iter()
            .for_each(|late| late.push(what.clone()));
    }

    async fn await_state(&self, wanted: &str, patience: Duration) {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.status().await
                && status["connector"]["state"] == wanted
                && tasks(&status).all(|task| {
                    task["state"] == wanted || task["state"] == "FAILED" && wanted != "RUNNING"
                })
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn await_empty_group(&self) {
        let (name, end) = (
            self.path.replace("/connectors/", "connect-"),
            Instant::now() + Duration::from_secs(30),
        );
        while Instant::now() < end {
            let groups = self
                .group
                .fetch_group_list(Some(&name), PATIENCE)
                .expect("groups");
            if groups
                .groups()
                .iter()
                .all(|group| group.members().is_empty())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Connector and task states, once they have settled.
    async fn states(&self) -> Map<String, Value> {
        let end = Instant::now() + Duration::from_secs(15);
        let unsettled =
            |state: &Value| matches!(state["state"].as_str(), Some("UNASSIGNED" | "RESTARTING"));
        let mut status = self.status().await;
        while let Some(seen) = &status
            && Instant::now() < end
            && (unsettled(&seen["connector"]) || tasks(seen).any(unsettled))
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
            status = self.status().await;
        }
        let state = |of: &Value| {
            let mut out: Map<_, _> = ["id", "state"]
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), of.get(key)?.clone())))
                .collect();
            if let Some(trace) = of["trace"].as_str().filter(|trace| !trace.is_empty()) {
                out.insert("trace".to_owned(), lines(trace));
            }
            Value::Object(out)
        };
        let (connector, tasks) = match &status {
            Some(status) => (
                state(&status["connector"]),
                tasks(status).map(state).collect(),
            ),
            None => (Value::Null, json!([])),
        };
        Map::from_iter([
            ("connector".to_owned(), connector),
            ("tasks".to_owned(), tasks),
        ])
    }

    async fn tables(&self) -> Value {
        self.database
            .tables(self.case["column_order"] == "any")
            .await
    }

    async fn look(&mut self, run: &str) -> Value {
        let mut seen = Map::from_iter([(
            "replies".to_owned(),
            Value::Array(std::mem::take(&mut self.replies)),
        )]);
        seen.extend(self.states().await);
        if self.created && self.status().await.is_some() {
            // a clean stop commits what has been written
            self.send("PUT", "/stop", None).await;
            self.await_state("STOPPED", Duration::from_secs(30)).await;
            self.await_empty_group().await;
        }
        seen.insert("tables".to_owned(), self.tables().await);
        seen.insert("group_offsets".to_owned(), self.offsets(run));
        if let Some(topic) = self.case["dlq"].as_str() {
            let metadata = self.group.fetch_metadata(None, PATIENCE).expect("metadata");
            let exists = metadata.topics().iter().any(|known| known.name() == topic);
            let letters = exists.then(|| self.topics.read(topic).iter().map(dead_letter).collect());
            seen.insert("dlq".to_owned(), letters.unwrap_or_default());
        }
        seen.extend(std::mem::take(&mut self.seen));
        seen.into()
    }
}

fn tasks(status: &Value) -> impl Iterator<Item = &Value> {
    status["tasks"].as_array().into_iter().flatten()
}

/// A key or value: text with its placeholders, or bytes as hex.
fn bytes(record: &Value, name: &str, number: Option<i64>) -> Option<Vec<u8>> {
    if let Some(hex) = record[format!("{name}_hex")].as_str() {
        let digit = |n: usize| u8::from_str_radix(&hex[n..n + 2], 16).expect("hex digits");
        return Some((0..hex.len()).step_by(2).map(digit).collect());
    }
    let text = record[name].as_str()?;
    let text = number.map_or(text.to_owned(), |number| {
        text.replace("{{i}}", &number.to_string())
    });
    let many = Regex::new(r"\{\{(.)\*(\d+)\}\}").expect("a regular expression");
    let repeated = |found: &Captures<'_>| found[1].repeat(found[2].parse().expect("a count"));
    Some(many.replace_all(&text, repeated).into_owned().into_bytes())
}

fn headers(pairs: &Value) -> Option<OwnedHeaders> {
    let pairs = pairs.as_array().filter(|pairs| !pairs.is_empty())?;
    let headers = pairs.iter().fold(OwnedHeaders::new(), |headers, pair| {
        headers.insert(Header {
            key: pair[0].as_str().expect("a name"),
            value: pair[1].as_str(),
        })
    });
    Some(headers)
}

/// The message lines of a stack trace: its head and each cause, without the frames.
fn lines(trace: &str) -> Value {
    let frame = Regex::new(r"^\s+(at |\.\.\. \d+ |Suppressed:)").expect("a regular expression");
    let lines = trace.split('\n').map(str::trim_end);
    lines
        .filter(|line| !line.trim().is_empty() && !frame.is_match(line))
        .collect()
}

fn dead_letter(entry: &Entry) -> Value {
    let readable = |data: &Option<Vec<u8>>| {
        data.as_ref().map(|data| match std::str::from_utf8(data) {
            Ok(text) => text.to_owned(),
            Err(_) => data
                .iter()
                .fold("hex:".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
        })
    };
    let header = |(name, value): &(String, Option<Vec<u8>>)| {
        let text = readable(value);
        let text = if name.ends_with("exception.stacktrace") {
            text.map(|text| {
                text.split('\n')
                    .next()
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned()
            })
        } else {
            text
        };
        json!([name, text])
    };
    let headers: Vec<_> = entry.headers.iter().map(header).collect();
    json!({"key": readable(&entry.key), "value": readable(&entry.value), "timestamp": entry.timestamp.unwrap_or(-1),
        "headers": headers})
}
