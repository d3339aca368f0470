//! Requests that are wrong in every way: each is refused, the worker stays well and its memory flat.

use std::sync::Arc;

use serde_json::Value;
use testkit::{Random, Rowferry, Settings, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{SOON, lab};

const CLIENTS: usize = 16;
const REQUESTS: usize = 10_000;

/// Memory that may come on top of what the first third of the requests took: less than the bodies of a few requests.
const GROWTH: u64 = 6 << 20;

const GOOD_BODY: &str =
    r#"{"name":"x","config":{"connector.class":"JdbcSourceConnector","tasks.max":"1"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_requests_leave_the_worker_healthy_and_its_memory_flat() {
    let worker = Arc::new(Rowferry::start(
        lab().scratch(),
        Settings::dev(&unique("malformed")),
    ));
    let address = worker
        .rest()
        .base()
        .trim_start_matches("http://")
        .to_owned();
    let mut random = Random::new();
    send_all(&address, REQUESTS / 3, &mut random).await;
    let (resident, logged) = (
        testkit::Usage::of(worker.pid()).resident,
        worker.log().len(),
    );
    send_all(&address, REQUESTS - REQUESTS / 3, &mut random).await;
    let after = testkit::Usage::of(worker.pid()).resident;
    assert!(
        after < resident + GROWTH,
        "{resident} bytes grew to {after}"
    );
    let logged = worker.log().len() - logged;
    assert!(logged < 1 << 20, "the log grew by {logged} bytes");
    worker.rest().get("/health").await.expect(200);
    assert_eq!(
        worker.rest().get("/connectors").await.expect(200).text,
        "[]"
    );
    assert_eq!(worker.stop(SOON), Some(0));
}

async fn send_all(address: &str, requests: usize, random: &mut Random) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, mut random) = (address.to_owned(), random.fork());
            tokio::spawn(async move {
                for _ in 0..requests.div_ceil(CLIENTS) {
                    let request = malformed(&mut random);
                    let answer = send(&address, &request).await;
                    let shown =
                        String::from_utf8_lossy(&request[..request.len().min(500)]).into_owned();
                    assert_refused(&answer, &shown);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

/// What comes back, up to the end of the connection.
async fn send(address: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the worker takes connections");
    let mut answer = Vec::new();
    // Both may fail when the worker has hung up in the middle, as it may.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "no end of the answer to {}",
        String::from_utf8_lossy(&request[..request.len().min(300)])
    );
    answer
}

/// A refusal with the body that every refusal has; or, to what is no HTTP, whatever ends the connection.
fn assert_refused(answer: &[u8], request: &str) {
    let text = String::from_utf8_lossy(answer);
    let Some(head) = text.strip_prefix("HTTP/1.1 ") else {
        assert!(text.is_empty(), "{request}\n{text}");
        return;
    };
    let status: u16 = head[..3].parse().unwrap();
    assert!((400..500).contains(&status), "{request}\n{text}");
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    if !body.is_empty() {
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {request}\n{text}"));
        assert_eq!(body["error_code"], status, "{request}\n{text}");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{request}\n{text}"
        );
    }
}

fn malformed(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0 => noise(random, 300),
        1 => broken_head(random),
        2 | 3 => with_body("POST", "/connectors", "application/json", &cut(random)),
        4 => with_body(
            "PUT",
            "/connectors/x/config",
            "application/json",
            &nested(random),
        ),
        5 => with_body(
            "PUT",
            "/connector-plugins/JdbcSourceConnector/config/validate",
            "application/json",
            &typed(random),
        ),
        6 => with_body(
            "POST",
            "/connectors",
            random.pick::<&str>(&["text/plain", "", "application/xml", "a;b;c"]),
            GOOD_BODY.as_bytes(),
        ),
        7 => with_body(
            "PATCH",
            "/connectors/x/offsets",
            "application/json",
            &typed(random),
        ),
        8 => wrong_path(random),
        _ => with_body(
            "POST",
            "/v1/transforms/try",
            "application/json",
            &noise(random, 2_000),
        ),
    }
}

fn with_body(method: &str, path: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {media_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn noise(random: &mut Random, longest: u64) -> Vec<u8> {
    (0..=random.below(longest))
        .map(|_| random.bits().to_le_bytes()[0])
        .collect()
}

/// A valid body that ends too early, or has a byte too many.
fn cut(random: &mut Random) -> Vec<u8> {
    let mut body = GOOD_BODY.as_bytes().to_vec();
    let at = usize::try_from(random.below(body.len() as u64)).unwrap();
    if random.below(2) == 0 {
        body.truncate(at);
    } else {
        body.splice(at..at, [0xff]);
    }
    body
}

fn nested(random: &mut Random) -> Vec<u8> {
    let deep = usize::try_from(1 + random.below(60_000)).unwrap();
    let (open, inner) = *random.pick(&[("[", ""), ("{\"a\":", "1"), ("[[{\"x\":", "null")]);
    format!("{}{inner}", open.repeat(deep)).into_bytes()
}

/// JSON of another shape than any body has.
fn typed(random: &mut Random) -> Vec<u8> {
    let long = "x".repeat(usize::try_from(random.below(200_000)).unwrap());
    let bodies = [
        "null".to_owned(),
        "[]".to_owned(),
        "7".to_owned(),
        "\"text\"".to_owned(),
        format!("\"{long}\""),
        format!("{{\"offsets\":\"{long}\"}}"),
        format!("{{\"{long}\":{{}}}}"),
        "{\"connector.class\":[\"a\"]}".to_owned(),
        "{\"offsets\":[1,2]}".to_owned(),
        "{\"offsets\":[{\"partition\":3,\"offset\":{\"a\":1e999}}]}".to_owned(),
    ];
    random.pick(&bodies).clone().into_bytes()
}

fn wrong_path(random: &mut Random) -> Vec<u8> {
    let escape = random.below(256);
    let paths = [
        format!("/connectors/%{escape:02x}%c3%28"),
        format!(
            "/connectors/{}",
            "y".repeat(usize::try_from(1 + random.below(40_000)).unwrap())
        ),
        "/connectors/../../etc/passwd".to_owned(),
        "/connectors/x/tasks/99999999999999999999/status".to_owned(),
        "/connectors/x/nothing?expand=%zz&&&=&a".to_owned(),
        format!("/{escape}"),
    ];
    let path = random.pick(&paths);
    let method = random.pick(&["GET", "DELETE", "PUT", "BREW", "TRACE"]);
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

fn broken_head(random: &mut Random) -> Vec<u8> {
    let heads = [
        "GET\r\n\r\n".to_owned(),
        "POST /connectors HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(),
        "POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n{}".to_owned(),
        "POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}".to_owned(),
        "POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            .to_owned(),
        "POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "z".repeat(usize::try_from(200_000 + random.below(400_000)).unwrap())),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(usize::try_from(200 + random.below(1_000)).unwrap())),
    ];
    random.pick(&heads).clone().into_bytes()
}
