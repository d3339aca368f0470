//! Which names a worker answers to, at a listener that was opened by hand, too.

use serde_json::Value;
use testkit::{Rowferry, Settings, free_port, unique};

use super::{raw, status};
use crate::command_line::on;
use crate::{SOON, lab};

/// A worker with a listener by the machine's name beside the one on loopback, and the name and port.
fn open(name: &str) -> (Rowferry, String, u16) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_owned();
    let mut settings = Settings::dev(&unique(name))
        .with(
            "rowferry.allowed.hosts",
            "connect.example.org, .lab.example.org",
        )
        .with("rest.advertised.host.name", "w1.example.org");
    settings.port = free_port();
    let port = free_port();
    let listeners = format!(
        "listeners=http://127.0.0.1:{},http://{host}:{port}",
        settings.port
    );
    settings.args.extend(["--set".to_owned(), listeners]);
    (Rowferry::start(lab().scratch(), settings), host, port)
}

async fn asked(address: &str, line: &str, headers: &[&str]) -> String {
    let headers = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect::<String>();
    raw(
        address,
        format!("{line}\r\n{headers}Connection: close\r\n\r\n").as_bytes(),
        SOON,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers_to_addresses_its_own_names_and_those_it_is_given() {
    let (worker, host, port) = open("hosts");
    for address in [format!("{host}:{port}"), super::address(&worker)] {
        for known in [
            "127.0.0.1",
            "10.20.30.40:8083",
            "[fd00::1]:8083",
            "localhost",
            &host,
            "w1.example.org:80",
            "CONNECT.example.org",
            "a.lab.example.org",
        ] {
            let answer = asked(
                &address,
                "GET /connectors HTTP/1.1",
                &[&format!("Host: {known}")],
            )
            .await;
            assert_eq!(status(&answer), 200, "{known}: {answer}");
        }
        for strange in [
            "evil.test",
            "evil.test:8083",
            "connect.example.org.evil.test",
            "lab.example.org",
        ] {
            for line in [
                "GET /connectors HTTP/1.1",
                "DELETE /connectors/x HTTP/1.1",
                "GET /health HTTP/1.0",
            ] {
                let origin = format!("Origin: http://{strange}");
                let answer = asked(&address, line, &[&format!("Host: {strange}"), &origin]).await;
                assert_eq!(status(&answer), 421, "{strange}: {answer}");
                assert!(answer.contains("rowferry.allowed.hosts"), "{answer}");
            }
        }
        for headers in [
            &[][..],
            &["Host: localhost", "Host: localhost"],
            &["Host: a b"],
            &["Host: x@localhost"],
            &["Host:"],
            &["Host: localhost:evil"],
            &["Host: localhost:99999"],
            &["Host: [::1]evil.test"],
        ] {
            assert_eq!(
                status(&asked(&address, "GET /connectors HTTP/1.1", headers).await),
                400,
                "{headers:?}"
            );
        }
        let elsewhere = "GET http://evil.test/connectors HTTP/1.1";
        assert_eq!(
            status(&asked(&address, elsewhere, &["Host: localhost"]).await),
            400
        );
        assert_eq!(
            status(&asked(&address, elsewhere, &["Host: evil.test"]).await),
            421
        );
        let itself = "GET http://localhost/connectors HTTP/1.1";
        assert_eq!(
            status(&asked(&address, itself, &["Host: localhost"]).await),
            200
        );
        assert_eq!(
            status(&asked(&address, "GET /connectors HTTP/1.0", &[]).await),
            200
        );
        let put = "PUT /connectors/x/pause HTTP/1.1";
        let foreign = ["Host: localhost", "Origin: http://evil.test"];
        assert_eq!(status(&asked(&address, put, &foreign).await), 403);
        assert_eq!(
            status(
                &asked(
                    &address,
                    put,
                    &["Host: localhost", "Origin: http://localhost"]
                )
                .await
            ),
            404
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_authentication_is_reported_in_the_log_by_health_and_by_the_command_line()
 {
    let (worker, host, port) = open("doors");
    let reported = format!("REST listens on {host}:{port} without authentication");
    assert!(worker.log().contains(&reported));
    let health = worker.rest().get("/health").await.expect(200).body;
    assert!(
        health["warnings"][0]
            .as_str()
            .is_some_and(|warning| warning.starts_with(&reported)),
        "{health}"
    );
    let server = worker.rest().base().to_owned();
    let rowferry = |args: &[&str]| {
        let (out, errors, code) = on(&server, args);
        assert_eq!(code, Some(0), "{out}{errors}");
        (out, errors)
    };
    assert!(rowferry(&["get"]).1.contains(&reported));
    let (shown, _) = rowferry(&["health"]);
    assert!(
        shown.starts_with("healthy: ") && shown.contains(&reported),
        "{shown}"
    );
    // One on loopback has nothing to warn of, and its answer is Kafka Connect's.
    let health = lab().worker().rest().get("/health").await.expect(200).body;
    assert_eq!(
        health.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["status", "message"]
    );
    assert_eq!(health["warnings"], Value::Null);
}
