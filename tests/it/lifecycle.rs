//! What a worker keeps, takes up again and reports: restarts, outages, history, users.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Kafka, MariaDb, Rest, Rowferry, Settings, for_condition, unique};

use crate::lab;

const SOON: Duration = Duration::from_secs(60);

async fn table(server: &MariaDb, database: &str) -> Value {
    let mut connection = server.create_database(database).await;
    run(&mut connection, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    source(server, database)
}

fn source(server: &MariaDb, database: &str) -> Value {
    json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": server.jdbc_url(database),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "mode": "incrementing",
        "incrementing.column.name": "id", "table.whitelist": "t", "topic.prefix": format!("{database}-"),
        "poll.interval.ms": "200"})
}

async fn state(rest: &Rest, name: &str) -> Value {
    rest.get(&format!("/connectors/{name}/status")).await.body["connector"]["state"].clone()
}

#[tokio::test]
async fn a_killed_worker_takes_up_what_it_was_told() {
    let (database, name) = (unique("kept"), unique("kept"));
    let config = table(lab().mariadb(), &database).await;
    let worker = lab().own_worker(&name);
    let rest = worker.rest();
    for connector in ["runs", "paused", "stopped", "deleted"] {
        rest.create(connector, &config).await;
        rest.wait_state(connector, "RUNNING", SOON).await;
    }
    rest.put_empty("/connectors/paused/pause").await.expect(202);
    rest.put_empty("/connectors/stopped/stop").await.expect(204);
    rest.remove("deleted").await;
    worker.kill();
    worker.restart();
    rest.wait_state("runs", "RUNNING", SOON).await;
    rest.wait_state("paused", "PAUSED", SOON).await;
    assert_eq!(state(rest, "stopped").await, "STOPPED");
    rest.get("/connectors/deleted").await.expect(404);
    let mut stored: Value = rest.get("/connectors/runs/config").await.expect(200).body;
    stored.as_object_mut().unwrap().remove("name");
    assert_eq!(stored, config, "the config comes back as it was given");
    rest.put_empty("/connectors/stopped/resume").await.expect(202);
    rest.wait_state("stopped", "RUNNING", SOON).await;
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

#[tokio::test]
async fn a_database_that_goes_away_is_named_and_taken_up_again() {
    let server = MariaDb::start(lab().scratch(), &unique("away"));
    let config = table(&server, "away").await;
    let worker = lab().own_worker(&unique("away"));
    let rest = worker.rest();
    rest.create("s", &config).await;
    rest.wait_state("s", "RUNNING", SOON).await;
    server.kill();
    rest.put_empty("/connectors/s/stop").await.expect(204);
    for_condition("it is stopped", SOON, async || state(rest, "s").await == "STOPPED").await;
    rest.put_empty("/connectors/s/resume").await.expect(202);
    for_condition("it says why it fails", SOON, async || {
        let status = rest.get("/connectors/s/status").await.body;
        let trace = status["connector"]["trace"].as_str().unwrap_or_default();
        status["connector"]["state"] == "FAILED"
            && trace.contains(&server.port().to_string())
            && trace.contains("again")
    })
    .await;
    server.restart();
    rest.wait_state("s", "RUNNING", SOON).await;
    assert_eq!(state(rest, "s").await, "RUNNING");
}

#[tokio::test]
async fn a_worker_without_its_broker_answers_says_so_and_recovers() {
    let port = testkit::free_port();
    let name = unique("nobroker");
    let database = unique("nobroker");
    let config = table(lab().mariadb(), &database).await;
    let worker = Rowferry::start(lab().scratch(), Settings::serve(&name, format!("127.0.0.1:{port}")));
    let rest = worker.rest();
    let health = rest.get("/health").await.expect(503).body;
    assert_eq!(health["status"], "starting");
    assert!(health["message"].as_str().unwrap().contains("bootstrap.servers"), "{health}");
    rest.create("s", &config).await;
    for_condition("the status says what to do", SOON, async || {
        rest.get("/connectors/s/status").await.text.contains("bootstrap.servers")
    })
    .await;
    let kafka = Kafka::start_on(lab().scratch(), &name, port);
    rest.wait_state("s", "RUNNING", SOON).await;
    for_condition("it is healthy", SOON, async || rest.get("/health").await.status == 200).await;
    kafka.topics().wait_for(&format!("{database}-t"), 2, SOON).await;
}

#[tokio::test]
async fn configs_are_kept_with_what_changed_and_can_be_restored() {
    let database = unique("history");
    let config = table(lab().mariadb(), &database).await;
    let rest = lab().worker().rest();
    let name = unique("history");
    rest.create(&name, &config).await;
    let url = format!("/connectors/{name}/config");
    let patch = json!({"poll.interval.ms": "900", "connection.password": "CANARY", "mode": null});
    rest.send("PATCH", &url, Some(("application/json", patch.to_string()))).await.expect(400);
    let patch = json!({"poll.interval.ms": "900"});
    rest.send("PATCH", &url, Some(("application/json", patch.to_string()))).await.expect(200);
    let path = format!("/v1/connectors/{name}/history");
    let history = rest.get(&path).await.expect(200).body;
    assert_eq!(history[1]["changes"], json!([{"key": "poll.interval.ms", "from": "200", "to": "900"}]));
    assert!(!history.to_string().contains(MariaDb::PASSWORD), "{history}");
    rest.send("POST", &format!("{path}/1/restore"), None).await.expect(200);
    assert_eq!(rest.get(&format!("/connectors/{name}/config")).await.body["poll.interval.ms"], "200");
    rest.remove(&name).await;
    assert_eq!(rest.get(&path).await.body[3]["deleted"], true);
    rest.send("POST", &format!("{path}/2/restore"), None).await.expect(201);
    rest.wait_state(&name, "RUNNING", SOON).await;
    rest.send("POST", &format!("{path}/99/restore"), None).await.expect(404);
    rest.remove(&name).await;
}

/// Creates, changes, pauses and deletes connectors from many sides at once.
#[tokio::test]
async fn many_clients_at_once_leave_the_store_consistent() {
    let database = unique("many");
    let config = table(lab().mariadb(), &database).await;
    let worker = lab().own_worker(&unique("many"));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let (rest, config) = (Rest::new(worker.rest().base()), config.clone());
            tokio::spawn(async move {
                for number in 0..13 {
                    let name = format!("c{client}-{number}");
                    let body = json!({"name": name, "config": config, "initial_state": "STOPPED"});
                    rest.post("/connectors", &body).await.expect(201);
                    let mut other = config.clone();
                    other["poll.interval.ms"] = json!(number.to_string());
                    rest.put(&format!("/connectors/{name}/config"), &other).await.expect(200);
                    if number % 2 == 0 {
                        rest.remove(&name).await;
                    } else {
                        rest.put_empty(&format!("/connectors/{name}/pause")).await.expect(202);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let before = listing(worker.rest()).await;
    assert_eq!(before.as_object().unwrap().len(), 16 * 6);
    worker.kill();
    worker.restart();
    // A client of its own: the other's connections ended with the worker.
    let rest = Rest::new(worker.rest().base());
    for_condition("all are back as they were", SOON, async || listing(&rest).await == before).await;
}

async fn listing(rest: &Rest) -> Value {
    rest.get("/connectors?expand=info&expand=status").await.expect(200).body
}

fn rowferry(args: &[&str], input: &str) -> (String, String) {
    use std::io::Write;
    use std::process::Stdio;
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowferry"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// curl's status and answer.
fn curl(args: &[&str]) -> (String, String) {
    let output = Command::new("curl").args(["-sS", "-w", "\n%{http_code}"]).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), format!("{body}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn users_and_tokens_over_https_have_their_roles() {
    let name = unique("users");
    let folder = lab().scratch().path().join(format!("{name}-files"));
    std::fs::create_dir_all(&folder).unwrap();
    testkit::certificate(&folder);
    let (admin, _) = rowferry(&["passwd", "ann", "--role", "admin"], "s3cret word\n");
    let (viewer, shown) = rowferry(&["token", "ci", "--role", "viewer"], "");
    let token = shown.trim().rsplit(' ').next().unwrap();
    assert!(!viewer.contains(token) && !admin.contains("s3cret"));
    std::fs::write(folder.join("users"), format!("{admin}{viewer}")).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let https = testkit::free_port();
    // The kit's own listener is plain, so that it can see when the worker is up.
    let mut settings = Settings::dev(&name).with("rowferry.auth.file", &file("users"));
    settings = settings.with("rowferry.tls.certificate", &file("cert.pem")).with("rowferry.tls.key", &file("key.pem"));
    settings.port = testkit::free_port();
    let listeners = format!("listeners=http://127.0.0.1:{},https://127.0.0.1:{https}", settings.port);
    settings.args.extend(["--set".to_owned(), listeners]);
    let worker = Rowferry::start(lab().scratch(), settings);

    let (base, cacert) = (format!("https://127.0.0.1:{https}"), file("cert.pem"));
    let call = |args: &[&str]| curl(&[&["--cacert", cacert.as_str()], args].concat());
    let connectors = format!("{base}/connectors");
    assert_eq!(call(&[&connectors]).0, "401");
    assert_eq!(call(&["-u", "ann:wrong", &connectors]).0, "401");
    assert_eq!(call(&["-u", "ann:s3cret word", &connectors]), ("200".to_owned(), "[]".to_owned()));
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(call(&["-H", &bearer, &connectors]).0, "200");
    let refused = call(&["-H", &bearer, "-X", "DELETE", &format!("{connectors}/x")]);
    assert!(refused.0 == "403" && refused.1.contains("admin"), "{refused:?}");
    assert_eq!(call(&["-u", "ann:s3cret word", "-X", "DELETE", &format!("{connectors}/x")]).0, "404");
    let (status, why) = curl(&[&connectors]);
    assert!(status == "000" && why.contains("certificate"), "a certificate that nobody knows is not trusted: {why}");
    assert!(!worker.log().contains(token), "the log shows no token");
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let worker = lab().worker();
    let base = worker.rest().base();
    let url = format!("{base}/connectors/x/pause");
    assert_eq!(curl(&["-X", "PUT", "-H", "Origin: https://evil.test", &url]).0, "403");
    assert_eq!(curl(&["-X", "PUT", &url]).0, "404");
    assert_eq!(curl(&["-H", "Host: evil.test", &format!("{base}/connectors")]).0, "421");
}

#[tokio::test]
async fn the_command_line_drives_a_worker() {
    let database = unique("cli");
    let config = table(lab().mariadb(), &database).await;
    let worker = lab().worker();
    let name = unique("cli");
    let file = lab().scratch().path().join(format!("{name}.json"));
    std::fs::write(&file, json!({"name": name, "config": config}).to_string()).unwrap();
    let file = file.display().to_string();
    let base = worker.rest().base();
    let call = |args: &[&str]| rowferry(&[args, &["--server", base]].concat(), "").0;
    assert_eq!(call(&["apply", "--dry-run", "-f", &file]), format!("{name} is valid\n"));
    assert_eq!(call(&["create", "-f", &file]), format!("{name} created\n"));
    assert_eq!(call(&["apply", "-f", &file]), format!("{name} applied\n"));
    worker.rest().wait_state(&name, "RUNNING", SOON).await;
    assert!(call(&["get"]).lines().any(|line| line.starts_with(&name) && line.contains("1/1")));
    let described = call(&["describe", &name]);
    assert!(described.contains("RUNNING") && !described.contains(MariaDb::PASSWORD), "{described}");
    call(&["pause", &name]);
    worker.rest().wait_state(&name, "PAUSED", SOON).await;
    assert!(call(&["status", &name]).contains("PAUSED"));
    call(&["resume", &name]);
    call(&["restart", &name, "--tasks"]);
    worker.rest().wait_state(&name, "RUNNING", SOON).await;
    call(&["stop", &name]);
    assert!(call(&["history", &name]).contains("version 1"));
    call(&["delete", &name]);
    let gone = Command::new(env!("CARGO_BIN_EXE_rowferry")).args(["status", &name, "--server", base]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
    let nobody =
        Command::new(env!("CARGO_BIN_EXE_rowferry")).args(["get", "--server", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(69));
}
