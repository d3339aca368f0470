//! Bodies that are large, endless, slow or never finished, and many of them at once.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Usage, for_condition};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{address, header, probes_are_answered, raw, status, worker};
use crate::SOON;

const MB: u64 = 1 << 20;

fn head(length: &str) -> String {
    format!(
        "POST /connectors HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_bodies_share_a_budget_and_leave_nothing_behind() {
    let worker = worker("bodies", &[]);
    let before = Usage::of(worker.pid()).resident;
    for round in 0..2 {
        let mut clients = Vec::new();
        for n in 0..300 {
            let mut stream = TcpStream::connect(address(&worker)).await.unwrap();
            let length = if n % 2 == 0 {
                "Content-Length: 4194000"
            } else {
                "Transfer-Encoding: chunked"
            };
            let mut request = head(length);
            if n % 2 == 1 {
                request.push_str("3ffd80\r\n");
            }
            request.push_str("{\"name\":\"");
            request.push_str(&"a".repeat(4_193_000));
            let sending = async {
                // Those that find no room are answered and hung up on.
                let _ = stream.write_all(request.as_bytes()).await;
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), sending).await;
            clients.push(stream);
            if n % 50 == 0 {
                probes_are_answered(&worker).await;
                let config = json!({"connector.class": "JdbcSink", "name": "n"});
                worker
                    .rest()
                    .put("/connector-plugins/JdbcSink/config/validate", &config)
                    .await
                    .expect(200);
            }
        }
        let peak = Usage::of(worker.pid()).peak;
        assert!(
            peak < 300 * MB,
            "round {round}: {} MB at their peak",
            peak / MB
        );
        let mut refused = 0;
        for mut client in clients {
            let mut answer = vec![0; 400];
            let read =
                tokio::time::timeout(Duration::from_millis(50), client.read(&mut answer)).await;
            let text = String::from_utf8_lossy(&answer).into_owned();
            if matches!(read, Ok(Ok(bytes)) if bytes > 0) {
                assert!([408, 503].contains(&status(&text)), "{text}");
                refused +=
                    u32::from(status(&text) == 503 && header(&text, "retry-after").is_some());
            }
        }
        assert!(refused > 100, "only {refused} were turned away");
        let mut now = 0;
        for_condition("the memory is given back", SOON, async || {
            now = Usage::of(worker.pid()).resident;
            now < 150 * MB && now < before + 100 * MB
        })
        .await;
    }
    worker.rest().get("/connectors").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_soon_enough_or_is_refused() {
    let worker = worker("slow", &[]);
    let address = address(&worker);
    // What its head says is enough.
    let answer = raw(
        &address,
        head("Expect: 100-continue\r\nContent-Length: 99999999999").as_bytes(),
        SOON,
    )
    .await;
    assert_eq!(status(&answer), 413, "{answer}");
    // Without end, as fast as it goes.
    let mut endless = head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..600 {
        endless.extend_from_slice(b"2000\r\n");
        endless.extend(std::iter::repeat_n(b' ', 0x2000));
        endless.extend_from_slice(b"\r\n");
    }
    let answer = raw(&address, &endless, SOON).await;
    assert_eq!(status(&answer), 413, "{answer}");
    // A byte at a time.
    let began = Instant::now();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(head("Content-Length: 1000").as_bytes())
        .await
        .unwrap();
    let (mut from, mut to) = stream.into_split();
    let sending = tokio::spawn(async move {
        while to.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, from.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    sending.abort();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    // Slow, but on its way.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = head("Connection: close\r\nContent-Length: 40000");
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..20 {
        stream.write_all(&[b' '; 2000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 400, "{answer}");
}
