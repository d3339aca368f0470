//! Databases that accept connections and never answer: their callers wait within limits, and nothing else waits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Rowferry, Settings, for_condition, unique};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// What must be answered at once is given this much on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A server on a port of its own that only listens.
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

fn source(url: &str) -> Value {
    json!({"connector.class": "JdbcSourceConnector", "connection.url": url, "connection.user": "u", "connection.password": "p",
        "mode": "incrementing", "incrementing.column.name": "id", "table.whitelist": "t", "topic.prefix": "h-"})
}

fn sink(url: &str) -> Value {
    json!({"connector.class": "JdbcSinkConnector", "connection.url": url, "connection.user": "u", "connection.password": "p",
        "topics": "t"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_holds_up_its_own_validation_for_a_limited_time_and_nothing_else() {
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&unique("hanging")));
    let (rest, port) = (worker.rest().clone(), silent().await);
    let urls = [
        format!("jdbc:mariadb://127.0.0.1:{port}/d"),
        format!("jdbc:postgresql://127.0.0.1:{port}/d"),
    ];
    let mut asked = tokio::task::JoinSet::new();
    // More at once than a worker has threads.
    for turn in 0..6 {
        for url in &urls {
            let (plugin, mut config) = match turn % 2 {
                0 => ("JdbcSourceConnector", source(url)),
                _ => ("JdbcSinkConnector", sink(url)),
            };
            config["name"] = json!(format!("hanging-{turn}"));
            let rest = rest.clone();
            asked.spawn(async move {
                let began = Instant::now();
                let answer = match turn {
                    // A connector is validated before it is created.
                    4 | 5 => {
                        rest.put(
                            &format!("/connectors/{}/config", config["name"].as_str().unwrap()),
                            &config,
                        )
                        .await
                    }
                    _ => {
                        rest.put(
                            &format!("/connector-plugins/{plugin}/config/validate"),
                            &config,
                        )
                        .await
                    }
                };
                (turn, answer, began.elapsed())
            });
        }
    }
    let (mut answers, mut others) = (Vec::new(), 0);
    while !asked.is_empty() {
        tokio::select! {
            Some(answer) = asked.join_next() => answers.push(answer.unwrap()),
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let (file, nowhere) = (json!({"connector.class": "JdbcSinkConnector", "name": "n"}), "/connectors/nobody/status");
                let began = Instant::now();
                rest.get("/connectors?expand=status").await.expect(200);
                rest.get(nowhere).await.expect(404);
                rest.put("/connector-plugins/JdbcSinkConnector/config/validate", &file).await.expect(200);
                rest.put_empty("/connectors/nobody/pause").await.expect(404);
                assert!(began.elapsed() < AT_ONCE, "other requests waited for {:?}", began.elapsed());
                others += 1;
            }
        }
    }
    assert!(
        others > 10,
        "the databases did not hang: {others}, {answers:?}"
    );
    for (turn, answer, took) in answers {
        assert!(took < Duration::from_secs(45), "{took:?}");
        let status = if turn > 3 { 400 } else { 200 };
        let text = answer.expect(status).text;
        assert!(
            text.contains("did not end within") || text.contains("Could not connect to database"),
            "{text}"
        );
        assert!(!text.contains("\"p\""), "{text}");
    }
    rest.get("/connectors").await.expect(200);
}

/// A relay before the server on that port, which carries nothing any more once it is set to hold. Connections that were held
/// stay silent for ever; later ones are carried again once it is set to go on.
pub async fn relay(server: u16) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (hold, held) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut held = held.clone();
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
                    return;
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    _ = held.wait_for(|hold| *hold) => {}
                }
                // Both connections stay open.
                std::future::pending::<()>().await;
            });
        }
    });
    (port, hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_whose_database_has_come_to_hang_can_be_steered_and_deleted() {
    let (server, worker) = (
        lab().mariadb(),
        Rowferry::start(lab().scratch(), Settings::dev(&unique("steered"))),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "steered", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    let (port, hold) = relay(server.port()).await;
    let (rest, through) = (worker.rest(), |database: &str| {
        format!("jdbc:mariadb://127.0.0.1:{port}/{database}")
    });
    let (source, sink) = (
        json!({"connection.url": through(&pipeline.name)}),
        json!({"connection.url": through(&pipeline.copy)}),
    );
    pipeline.create(rest, server, source, sink).await;
    pipeline.wait_arrived(&mut connection, 2, SOON).await;
    hold.send_replace(true);
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        let path = format!("/connectors/{name}");
        let began = Instant::now();
        rest.get(&format!("{path}/status")).await.expect(200);
        rest.put_empty(&format!("{path}/pause")).await.expect(202);
        rest.put_empty(&format!("{path}/resume")).await.expect(202);
        rest.post(
            &format!("{path}/restart?includeTasks=true&onlyFailed=false"),
            &json!({}),
        )
        .await
        .expect(202);
        rest.put_empty(&format!("{path}/stop")).await.expect(204);
        for_condition("no tasks", SOON, async || {
            rest.get(&format!("{path}/status")).await.body["tasks"]
                .as_array()
                .is_some_and(Vec::is_empty)
        })
        .await;
        rest.delete(&path).await.expect(204);
        rest.get(&path).await.expect(404);
        assert!(
            began.elapsed() < Duration::from_secs(45),
            "{name}: {:?}",
            began.elapsed()
        );
    }
    assert_eq!(worker.stop(Duration::from_secs(35)), Some(0));
}
