//! Connections without number, and clients that read nothing, send nothing, or a byte at a time.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Settings, for_condition, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{address, header, probes_are_answered, raw, status, worker};
use crate::{SOON, lab};

const GET: &[u8] = b"GET /connectors HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async fn small_window(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}

/// How many the worker has hung up on: they receive an error, or cannot write any more.
fn ended(clients: &[TcpStream]) -> usize {
    let is_over = |client: &&TcpStream| {
        client
            .try_write(b"x")
            .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
    };
    clients.iter().filter(is_over).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_keep_nobody_out_and_are_ended() {
    let worker = worker("unread", &[]);
    let address = address(&worker);
    let mut clients = Vec::new();
    for _ in 0..1_100 {
        clients.push(small_window(&address).await);
    }
    probes_are_answered(&worker).await;
    let asking = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(120);
    for client in &mut clients {
        let _ = client.try_write(&asking);
    }
    probes_are_answered(&worker).await;
    for_condition(
        "others are answered too",
        Duration::from_secs(10),
        async || status(&raw(&address, GET, Duration::from_secs(5)).await) == 200,
    )
    .await;
    // Each is hung up on within the time that an answer may take.
    let began = Instant::now();
    while ended(&clients) < 1_000 && began.elapsed() < SOON {
        tokio::time::sleep(Duration::from_secs(1)).await;
        probes_are_answered(&worker).await;
    }
    let ended = ended(&clients);
    assert!(ended >= 1_000, "only {ended} were ended");
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_come_a_byte_at_a_time_keep_nobody_out_and_are_ended() {
    let worker = worker("heads", &[]);
    let address = address(&worker);
    let mut clients = Vec::new();
    for _ in 0..1_500 {
        clients.push(TcpStream::connect(&address).await.unwrap());
    }
    let (mut at, mut answered) = (0, 0);
    let began = Instant::now();
    // Each second a byte of every head.
    while began.elapsed() < Duration::from_secs(30) {
        for client in &mut clients {
            let _ = client.try_write(&GET[at..=at]);
        }
        at = (at + 1) % 40;
        probes_are_answered(&worker).await;
        answered += u32::from(status(&raw(&address, GET, Duration::from_secs(5)).await) == 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(answered > 15, "others were answered {answered} times");
    let ended = ended(&clients);
    assert!(ended > 1_400, "only {ended} were ended");
}

/// A database that takes connections and says nothing keeps a validation at work for seconds.
async fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_slots_are_busy_probes_are_answered_and_other_requests_are_refused_with_retry_after()
 {
    let limits = [
        ("rowferry.rest.connections", "12"),
        ("rowferry.rest.connections.per.address", "8"),
    ];
    let worker = worker("places", &limits);
    let (address, port) = (address(&worker), silent().await);
    let body = json!({"connector.class": "JdbcSink", "name": "n", "topics": "t",
        "connection.url": format!("jdbc:postgresql://127.0.0.1:{port}/d")})
    .to_string();
    let mut asking = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "PUT /connector-plugins/JdbcSink/config/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        asking.push(stream);
    }
    let mut refused = String::new();
    for_condition("all places are taken", SOON, async || {
        refused = raw(&address, GET, Duration::from_secs(5)).await;
        status(&refused) == 503
    })
    .await;
    assert!(
        refused.contains("rowferry.rest.connections.per.address"),
        "{refused}"
    );
    assert!(header(&refused, "retry-after").is_some(), "{refused}");
    for _ in 0..200 {
        probes_are_answered(&worker).await;
    }
    for mut stream in asking {
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status(&answer), 200, "work goes on beside it: {answer}");
    }
    for_condition("there is room again", SOON, async || {
        status(&raw(&address, GET, Duration::from_secs(5)).await) == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_keep_their_connection_and_send_requests_ahead_are_served() {
    let worker = worker("keeping", &[]);
    let address = address(&worker);
    let ahead = b"GET /connectors HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
    let answers = raw(&address, &[&ahead, GET].concat(), SOON).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 51);
    let mut kept = TcpStream::connect(&address).await.unwrap();
    let mut answer = vec![0; 4096];
    for pause in [0, 1, 40] {
        // Longer than many clients keep a connection, so that it is they who end it.
        tokio::time::sleep(Duration::from_secs(pause)).await;
        kept.write_all(b"GET /connectors HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let read = kept.read(&mut answer).await.unwrap();
        assert_eq!(status(&String::from_utf8_lossy(&answer[..read])), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_come_keep_nobody_out_of_https() {
    let name = unique("handshakes");
    let folder = lab().scratch().path().join(format!("{name}-files"));
    std::fs::create_dir_all(&folder).unwrap();
    testkit::certificate(&folder);
    let file = |name: &str| folder.join(name).display().to_string();
    let https = testkit::free_port();
    let mut settings = Settings::dev(&name).with("rowferry.tls.certificate", &file("cert.pem"));
    settings = settings.with("rowferry.tls.key", &file("key.pem"));
    settings.port = testkit::free_port();
    let listeners = format!(
        "listeners=http://127.0.0.1:{},https://127.0.0.1:{https}",
        settings.port
    );
    settings.args.extend(["--set".to_owned(), listeners]);
    let worker = testkit::Rowferry::start(lab().scratch(), settings);
    let mut clients = Vec::new();
    for n in 0..1_200 {
        let mut client = TcpStream::connect(("127.0.0.1", https)).await.unwrap();
        if n % 3 == 0 {
            // The beginning of a handshake; it may have been hung up on meanwhile.
            let _ = client.write_all(&[22, 3, 1, 2, 0, 1]).await;
        }
        clients.push(client);
    }
    let asked = |path: &str| {
        let url = format!("https://127.0.0.1:{https}{path}");
        let mut command = std::process::Command::new("curl");
        let output = command
            .args(["-sS", "-m", "5", "--cacert", &file("cert.pem"), &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(asked("/livez").contains("alive"));
    assert!(asked("/health").contains("status"));
    for_condition("others are answered", SOON, async || {
        asked("/connectors") == "[]"
    })
    .await;
    for_condition("they are ended", SOON, async || ended(&clients) > 1_000).await;
    probes_are_answered(&worker).await;
}
