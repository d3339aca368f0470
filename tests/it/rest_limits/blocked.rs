//! A main runtime all of whose threads are held up: probes and signals do without it, and say so.

use std::time::{Duration, Instant};

use testkit::{Rowferry, for_condition};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{address, status, worker};
use crate::SOON;

/// More than the main runtime has threads on any machine.
const REQUESTS: usize = 12;
const POINT: &str = "rest.request";
/// A probe's answer, on a machine with two busy cores.
const AT_ONCE: Duration = Duration::from_secs(4);
/// The first answer of `/health` after the runtime was blocked: a little more than 5 s, not its whole deadline.
const NOTICED: Duration = Duration::from_secs(9);

/// A worker whose main runtime is held up by requests, and their connections.
async fn blocked(name: &str) -> (Rowferry, Vec<TcpStream>) {
    let worker = worker(name, &[]);
    worker.fail_at(POINT, "return(hang)");
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        let mut client = TcpStream::connect(address(&worker)).await.unwrap();
        client
            .write_all(b"GET /connectors HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        clients.push(client);
    }
    for_condition("health reports the main runtime", SOON, async || {
        let began = Instant::now();
        let answer = worker.rest().get("/health").await;
        assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
        answer.status == 500
            && answer
                .message()
                .contains("main runtime has started no work for")
    })
    .await;
    (worker, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_while_the_main_runtime_is_blocked_and_requests_continue_after_it() {
    let (worker, clients) = blocked("held-up").await;
    for _ in 0..20 {
        let began = Instant::now();
        worker.rest().get("/livez").await.expect(200);
        worker.rest().get("/health").await.expect(500);
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
    worker.go_on_at(POINT);
    for mut client in clients {
        let mut answer = String::new();
        tokio::time::timeout(SOON, client.read_to_string(&mut answer))
            .await
            .expect("in time")
            .unwrap();
        assert_eq!(status(&answer), 200, "{answer}");
    }
    for_condition("health is well", SOON, async || {
        worker.rest().get("/health").await.status == 200
    })
    .await;
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_received_while_the_main_runtime_is_blocked() {
    let (worker, _clients) = blocked("deaf").await;
    worker.signal("TERM");
    for_condition("the first signal", SOON, async || {
        worker.log().contains("a second signal stops at once")
    })
    .await;
    assert_eq!(worker.stop(Duration::from_secs(10)), Some(128 + 15));
}
