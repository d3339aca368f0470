//! Requests exactly as they are recorded: odd methods, headers, versions and bodies, which no HTTP client would send.

use std::time::Duration;

use base64::Engine;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(100);

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// The value of a header, by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Sends a recorded request to `127.0.0.1:port`, on a connection of its own.
pub(super) async fn send(address: &str, request: &Value) -> Result<Answer, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&bytes_of(address, request)).await?;
        let mut answer = Vec::new();
        // A server that refuses a request may close before it has read all of it; what it said counts.
        let read = stream.read_to_end(&mut answer).await;
        if answer.is_empty() {
            read.map(|_| answer)
        } else {
            Ok(answer)
        }
    };
    let answer = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("no answer in {PATIENCE:?}"))?;
    parse(&answer.map_err(|error| error.to_string())?)
}

fn bytes_of(address: &str, request: &Value) -> Vec<u8> {
    let text = |key: &str| request[key].as_str();
    let (method, path) = (
        text("method").expect("a method"),
        text("path").expect("a path"),
    );
    let mut headers: Vec<(String, String)> = Vec::new();
    for pair in request["headers"].as_array().into_iter().flatten() {
        headers.push((
            pair[0].as_str().expect("a name").to_owned(),
            pair[1].as_str().expect("a value").to_owned(),
        ));
    }
    let mut body = text("body").map(|body| body.as_bytes().to_vec());
    if let Some(json) = request.get("json") {
        body = Some(json.to_string().into_bytes());
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
    }
    if let Some(base64) = text("body_base64") {
        body = Some(
            base64::engine::general_purpose::STANDARD
                .decode(base64)
                .expect("base64"),
        );
    }
    let version = text("http").unwrap_or("1.1");
    let mut out = format!("{method} {path} HTTP/{version}\r\nHost: {address}\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("connection"))
    {
        headers.push(("Connection".to_owned(), "close".to_owned()));
    }
    let data = body.clone().unwrap_or_default();
    if request["chunked"] == true {
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    } else if body.is_some() || ["POST", "PUT", "PATCH"].contains(&method) {
        headers.push(("Content-Length".to_owned(), data.len().to_string()));
    }
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    if request["chunked"] == true {
        if !data.is_empty() {
            out.extend(format!("{:x}\r\n", data.len()).into_bytes());
            out.extend(&data);
            out.extend(b"\r\n");
        }
        out.extend(b"0\r\n\r\n");
    } else {
        out.extend(data);
    }
    out
}

fn parse(answer: &[u8]) -> Result<Answer, String> {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("no end of the headers")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &answer[end + 4..];
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked {
        unchunked(body).ok_or("a broken chunk")?
    } else {
        body.to_vec()
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer {
        status: status.ok_or("no status")?,
        text,
        headers,
    })
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        out.extend(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 2 + size + 2..)?;
    }
}
