//! Does something to a connector while it is stopped, and brings it back to its state.

use std::time::Duration;

use connector_api::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::bar::Bar;
use super::client::RestClient;
use super::print::errln;
use crate::http::Method;
use crate::model::{ConnectorStatus, path_segment};

/// How long a connector may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// How long Kafka may take to notice that the tasks have left.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(200);

/// Stops a connector, does `work`, and brings the connector back to the state that it had, also
/// when `work` fails. Errors: of `work`; `Retry` if the connector does not stop.
pub(super) async fn while_stopped<T>(
    client: &RestClient,
    name: &str,
    work: impl AsyncFn() -> Result<T>,
) -> Result<T> {
    let path = format!("/connectors/{}", path_segment(name));
    let before: ConnectorStatus = client.get(&format!("{path}/status")).await?;
    let state = before.connector.state;
    let shown = connector_api::shown::on_one_line(name);
    let bar = Bar::open(format!("stopping {shown}"));
    if state != "STOPPED" {
        client
            .send(Method::PUT, &format!("{path}/stop"), None)
            .await?;
        wait_until_stopped(client, name, &path).await?;
    }
    bar.now(format!("changing the offsets of {shown}"));
    let done = accepted(work).await;
    let verb = match state.as_str() {
        "STOPPED" => None,
        "PAUSED" => Some("pause"),
        _ => Some("resume"),
    };
    if let Some(verb) = verb {
        let resumed = client
            .send(Method::PUT, &format!("{path}/{verb}"), None)
            .await;
        if let Err(error) = resumed {
            bar.beside(|| {
                errln!("rowferry: {shown} stays stopped, because it cannot be resumed: {error}");
            });
            return done.and(Err(error));
        }
    }
    done
}

async fn wait_until_stopped(client: &RestClient, name: &str, path: &str) -> Result<()> {
    let until = Instant::now() + STOPS_WITHIN;
    loop {
        let status: ConnectorStatus = client.get(&format!("{path}/status")).await?;
        if status.connector.state == "STOPPED" && status.tasks.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::retry(format!(
                "{name} did not stop within {} s",
                STOPS_WITHIN.as_secs()
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Does `work`, and again while the worker says that tasks have not ended: Kafka still counts them
/// as members of the group for a moment.
async fn accepted<T>(work: impl AsyncFn() -> Result<T>) -> Result<T> {
    let until = Instant::now() + ACCEPTS_WITHIN;
    loop {
        match work().await {
            Err(error)
                if error.kind() == ErrorKind::Record
                    && error.message().contains("haven't stopped")
                    && Instant::now() < until =>
            {
                tokio::time::sleep(EVERY).await;
            }
            done => return done,
        }
    }
}
