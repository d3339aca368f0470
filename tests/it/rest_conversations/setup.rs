//! Steps without an answer: SQL, records, topics, consumer groups, pauses, waiting for a state.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};
use testkit::Topics;

use super::compare::includes;
use super::http;
use crate::lab;

const PATIENCE: Duration = Duration::from_secs(30);

/// Does a step. `Err` says what was not reached; `late` shortens further waiting.
pub(super) async fn perform(address: &str, step: &Value, late: &mut bool) -> Result<(), String> {
    if let Some(wait) = step.get("wait_until") {
        return wait_until(address, wait, late).await;
    }
    if let Some(seconds) = step["sleep_s"].as_f64() {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    } else if let Some(sql) = step.get("sql") {
        run_sql(sql).await?;
    } else if let Some(records) = step.get("produce") {
        produce(records)?;
    } else if let Some(topic) = step.get("topic") {
        change_topic(topic).await;
    } else if let Some(group) = step.get("group") {
        let admin: AdminClient<DefaultClientContext> =
            topics().client().create().expect("admin client");
        let name = group["delete"]
            .as_array()
            .and_then(|names| names[0].as_str())
            .expect("a group");
        let _ = admin.delete_groups(&[name], &AdminOptions::new()).await;
    } else {
        return Err(format!("unknown step {step}"));
    }
    Ok(())
}

fn topics() -> Topics {
    lab().kafka().topics()
}

async fn wait_until(address: &str, wait: &Value, late: &mut bool) -> Result<(), String> {
    let seconds = |key: &str| wait[key].as_f64().map(Duration::from_secs_f64);
    // Once a state was not reached, what follows will hardly be.
    let limit = if *late {
        Duration::from_secs(5)
    } else {
        seconds("timeout_s").unwrap_or(Duration::from_secs(60))
    };
    let (status, quiet) = (
        wait["status"].as_u64().unwrap_or(200),
        seconds("for_s").unwrap_or_default(),
    );
    let request = serde_json::json!({"method": "GET", "path": wait["path"]});
    let (start, mut since) = (Instant::now(), None);
    loop {
        let answer = http::send(address, &request).await?;
        let good = u64::from(answer.status) == status
            && wait.get("match").is_none_or(|want| {
                serde_json::from_str(&answer.text).is_ok_and(|got: Value| includes(want, &got))
            });
        since = good.then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since: Instant| since.elapsed() >= quiet) {
            return Ok(());
        }
        if start.elapsed() > limit {
            *late = true;
            return Err(format!(
                "not reached in {limit:?}, last answer: {} {}",
                answer.status, answer.text
            ));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

async fn run_sql(sql: &Value) -> Result<(), String> {
    let statements = sql["run"]
        .as_array()
        .expect("statements")
        .iter()
        .map(|s| s.as_str().expect("SQL").to_owned());
    let on_mysql = sql["on"] == "mysql";
    let mut outcome = Ok(());
    if on_mysql {
        let mut connection = lab()
            .mariadb()
            .connect(sql["database"].as_str().unwrap_or("mysql"))
            .await;
        for statement in statements {
            let sent = connection
                .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                .await;
            outcome = outcome.and(sent.map(drop).map_err(|error| error.to_string()));
        }
    } else {
        let mut connection = lab()
            .postgres()
            .connect(sql["database"].as_str().unwrap_or("postgres"))
            .await;
        for statement in statements {
            let sent = connection
                .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                .await;
            outcome = outcome.and(sent.map(drop).map_err(|error| error.to_string()));
        }
    }
    outcome
}

fn produce(step: &Value) -> Result<(), String> {
    let producer: BaseProducer = topics().client().create().expect("producer");
    let topic = step["topic"].as_str().expect("a topic");
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        json => Some(json.to_string()),
    };
    for record in step["records"].as_array().expect("records") {
        let (key, value) = (text(&record["key"]), text(&record["value"]));
        let mut message = BaseRecord::<str, str>::to(topic);
        message.key = key.as_deref();
        message.payload = value.as_deref();
        message.partition = record["partition"]
            .as_i64()
            .and_then(|partition| i32::try_from(partition).ok());
        producer
            .send(message)
            .map_err(|(error, _)| error.to_string())?;
    }
    producer.flush(PATIENCE).map_err(|error| error.to_string())
}

async fn change_topic(step: &Value) {
    if let Some(topic) = step["create"].as_str() {
        let partitions = step["partitions"]
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(1);
        return topics().create(topic, partitions).await;
    }
    let admin: AdminClient<DefaultClientContext> =
        topics().client().create().expect("admin client");
    let names: Vec<_> = step["delete"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    // One that was never made may be deleted all the same.
    let _ = admin
        .delete_topics(
            &names,
            &AdminOptions::new().operation_timeout(Some(PATIENCE)),
        )
        .await;
}
