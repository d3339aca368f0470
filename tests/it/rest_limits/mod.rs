//! Limits of the REST API: a client cannot take the worker down, and cannot lock others out.

mod blocked;
mod bodies;
mod connections;
mod hosts;
mod logins;
mod validations;

use std::time::Duration;

use testkit::{Rowferry, Settings, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab;

/// A worker of its own with these keys.
fn worker(name: &str, keys: &[(&str, &str)]) -> Rowferry {
    let settings = Settings::dev(&unique(name));
    let settings = keys
        .iter()
        .fold(settings, |settings, (key, value)| settings.with(key, value));
    Rowferry::start(lab().scratch(), settings)
}

/// `host:port` of a worker.
fn address(worker: &Rowferry) -> String {
    worker
        .rest()
        .base()
        .trim_start_matches("http://")
        .to_owned()
}

/// What comes back to these bytes up to the end of the connection, or up to the time limit.
async fn raw(address: &str, request: &[u8], within: Duration) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let talk = async {
        // The worker may have hung up in the middle, as it may.
        let _ = stream.write_all(request).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    let _ = tokio::time::timeout(within, talk).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer; 0 for none.
fn status(answer: &str) -> u16 {
    answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse().ok())
        .unwrap_or_default()
}

/// The value of a header of an answer.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let mut headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    headers.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
}

/// A probe must be answered whatever else goes on.
async fn probes_are_answered(worker: &Rowferry) {
    for path in ["/livez", "/health"] {
        let began = std::time::Instant::now();
        worker.rest().get(path).await.expect(200);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{path} took {:?}",
            began.elapsed()
        );
    }
}
