//! Verbs of the command line over several connectors, and what they print. And how all tests run the command line.

use std::ffi::OsStr;
use std::io::{PipeWriter, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{MariaDb, for_condition, unique};

use crate::{SOON, lab};

/// Standard output, standard error and the exit code of a command that has ended.
pub(crate) type Printed = (String, String, Option<i32>);

/// Variables by which a user's environment changes what a command does or prints.
const OF_USERS: [&str; 8] = [
    "ROWFERRY_SERVER",
    "ROWFERRY_CONTEXT",
    "ROWFERRY_TOKEN",
    "ROWFERRY_USER",
    "ROWFERRY_CACERT",
    "NO_COLOR",
    "COLUMNS",
    "LINES",
];

/// The program with these arguments, without input, and without what the user's environment and contexts would change.
pub(crate) fn program(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowferry"));
    command.args(args).stdin(Stdio::null());
    OF_USERS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("ROWFERRY_CONTEXTS", "/nowhere/contexts.json");
    command
}

/// What a command prints, once it has ended.
pub(crate) fn printed(command: &mut Command) -> Printed {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

/// The same with this standard input.
pub(crate) fn printed_with(command: &mut Command, input: &str) -> Printed {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let input = input.to_owned();
    let writing = std::thread::spawn(move || writer.write_all(input.as_bytes()));
    let ended = printed(command.stdin(reader));
    // A command may end before it has read all.
    let _unread = writing.join().unwrap();
    ended
}

/// A command that calls no worker.
pub(crate) fn local(args: &[impl AsRef<OsStr>]) -> Printed {
    printed(&mut program(args))
}

/// A command that calls the worker with this address.
pub(crate) fn on(server: &str, args: &[impl AsRef<OsStr>]) -> Printed {
    printed(program(args).args(["--server", server]))
}

/// A command that calls the shared worker.
pub(crate) fn rowferry(args: &[&str]) -> Printed {
    on(lab().worker().rest().base(), args)
}

/// Standard error and the exit code of a command whose standard output takes nothing.
fn unread(args: &[&str], remote: bool, stdout: impl Into<Stdio>) -> (String, Option<i32>) {
    let mut command = program(args);
    if remote {
        command.args(["--server", lab().worker().rest().base()]);
    }
    let output = command.stdout(stdout).stderr(Stdio::piped()).spawn();
    let output = output.unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (stderr, output.status.code())
}

/// A pipe that nobody reads from any more.
fn broken_pipe() -> PipeWriter {
    std::io::pipe().unwrap().1
}

fn sink(topic: &str, more: Value) -> Value {
    let mut config = json!({"connector.class": "JdbcSink", "topics": topic, "connection.url": lab().mariadb().jdbc_url("mysql"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD});
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

fn file(connectors: &Value) -> String {
    let path = lab()
        .scratch()
        .path()
        .join(format!("{}.json", unique("connectors")));
    std::fs::write(&path, connectors.to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn apply_says_what_was_created_changed_or_left_as_it_was() {
    let (one, two) = (unique("one"), unique("two"));
    let described = |password: &str| {
        let config = sink(
            &two,
            json!({"batch.size": "10", "connection.pass.unused": password}),
        );
        json!([{"name": one, "config": sink(&one, json!({})), "initial_state": "STOPPED"}, {"name": two, "config": config,
            "initial_state": "STOPPED"}])
    };
    let note = "; initial_state was ignored, because it is for new connectors only";
    let apply = |connectors: &Value| rowferry(&["apply", "-f", &file(connectors)]);
    assert_eq!(
        apply(&described("a")).0,
        format!("{one} created\n{two} created\n")
    );
    let status = lab()
        .worker()
        .rest()
        .get(&format!("/connectors/{one}/status"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        status["connector"]["state"], "STOPPED",
        "the state that the file asks for"
    );
    assert_eq!(
        apply(&described("a")).0,
        format!("{one} unchanged{note}\n{two} unchanged{note}\n")
    );
    assert_eq!(
        apply(&described("b")).0,
        format!("{one} unchanged{note}\n{two} changed{note}\n"),
        "a secret, too"
    );
    assert_eq!(
        rowferry(&["delete", &one, &two]).0,
        format!("{one} deleted\n{two} deleted\n")
    );
}

#[tokio::test]
async fn each_of_several_names_is_done_although_another_fails() {
    let (one, two) = (unique("first"), unique("last"));
    let stopped = |name: &str| json!({"name": name, "config": sink(name, json!({})), "initial_state": "STOPPED"});
    rowferry(&[
        "create",
        "-f",
        &file(&json!([stopped(&one), stopped(&two)])),
    ]);
    for (verb, done) in [
        ("pause", "paused"),
        ("resume", "resumed"),
        ("stop", "stopped"),
        ("restart", "restarted"),
    ] {
        let (out, errors, code) = rowferry(&[verb, &one, "nobody", &two]);
        assert_eq!(
            out,
            format!("{one} {done}\n{two} {done}\n"),
            "{verb}: {errors}"
        );
        assert!(
            errors.contains("rowferry: nobody: ") && errors.contains("1 of 3 failed"),
            "{verb}: {errors}"
        );
        assert_eq!(code, Some(1), "{verb}");
    }
    let (out, errors, code) = rowferry(&[
        "create",
        "-f",
        &file(&json!([stopped(&one), stopped("third")])),
    ]);
    assert!(
        out == "third created\n"
            && errors.contains(&format!("{one}: Connector {one} already exists")),
        "{errors}"
    );
    assert_eq!(code, Some(1));
    for verb in [
        &["describe"][..],
        &["get", "offsets"],
        &["delete", "offsets"],
    ] {
        rowferry(&["stop", &one, &two]);
        for name in [&one, &two] {
            let path = format!("/connectors/{name}/status");
            for_condition("STOPPED", crate::SOON, async || {
                let status = lab().worker().rest().get(&path).await.body;
                status["connector"]["state"] == "STOPPED"
            })
            .await;
        }
        let (out, errors, code) = rowferry(&[verb, &["nobody", &one, "noone", &two]].concat());
        for name in [&one, &two] {
            let lines = out.lines().filter(|line| line.starts_with(name.as_str()));
            assert!(lines.count() == 1, "{verb:?} {name}: {out}{errors}");
        }
        for part in ["nobody: ", "noone: ", "2 of 4 failed"] {
            assert!(errors.contains(part), "{verb:?}: {errors}");
        }
        assert_eq!(code, Some(1), "{verb:?}");
    }
    let (out, errors, code) = rowferry(&["get", "logger", "no.such", "root", "no.other"]);
    assert!(
        out.contains("root") && errors.contains("2 of 3 failed"),
        "{out}{errors}"
    );
    assert_eq!(code, Some(1));
    let (out, errors, code) = rowferry(&["describe", "plugin", "NoSuch", "JdbcSink", "NoOther"]);
    assert!(
        out.contains("insert.mode") && errors.contains("2 of 3 failed"),
        "{errors}"
    );
    assert_eq!(code, Some(1));
    let (out, _, code) = rowferry(&["describe", "-o", "json", &one, "nobody", &two]);
    let described: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (described.as_array().map(Vec::len), code),
        (Some(2), Some(1))
    );
    let (out, errors, code) = rowferry(&["delete", &one, "nobody", &two, "third"]);
    assert_eq!((out.lines().count(), code), (3, Some(1)), "{out}{errors}");
}

#[tokio::test]
async fn a_worker_out_of_reach_is_said_once_for_several_names() {
    let (_, errors, code) = on("127.0.0.1:1", &["pause", "a", "b", "c"]);
    assert_eq!((errors.lines().count(), code), (1, Some(69)), "{errors}");
    assert!(
        errors.contains("not done: a, b, c") && errors.contains("--server"),
        "{errors}"
    );
}

#[tokio::test]
async fn a_dry_run_names_the_key_of_each_error_in_each_connector() {
    let good = json!({"name": "good", "config": sink("x", json!({}))});
    let bad = json!({"name": "bad", "config": sink("x", json!({"batch.size": "many", "insert.mode": "guess"}))});
    let (out, errors, code) = rowferry(&["apply", "--dry-run", "-f", &file(&json!([bad, good]))]);
    assert_eq!(
        (out.as_str(), code),
        ("good is valid\n", Some(1)),
        "{errors}"
    );
    for line in [
        "bad is not valid",
        "  batch.size: Invalid value many",
        "  insert.mode: Invalid value guess",
    ] {
        assert!(errors.contains(line), "{line}: {errors}");
    }
    assert_eq!(errors.matches("  batch.size:").count(), 1, "{errors}");
}

#[tokio::test]
async fn a_config_that_the_worker_refuses_is_printed_with_the_key_of_each_error_on_lines_of_their_own()
 {
    let name = unique("refused");
    let with = |more: Value| file(&json!({"name": name, "config": sink("x", more)}));
    let bad = with(json!({"batch.size": "many", "insert.mode": "guess"}));
    let good = with(json!({}));
    for exists in [false, true] {
        for verb in ["apply", "create"] {
            let (out, errors, code) = rowferry(&[verb, "-f", &bad]);
            assert_eq!((out.as_str(), code), ("", Some(1)), "{errors}");
            let lines: Vec<&str> = errors.lines().collect();
            assert!(!errors.contains("\\n"), "{errors}");
            for wanted in [
                "  batch.size: Invalid value many",
                "  insert.mode: Invalid value guess",
            ] {
                assert!(
                    lines.iter().any(|line| line.starts_with(wanted)),
                    "no {wanted:?} in {errors}"
                );
            }
        }
        if !exists {
            assert_eq!(rowferry(&["apply", "-f", &good]).2, Some(0));
        }
    }
    rowferry(&["delete", &name]);
}

/// An HTTP server on a port of its own that answers everything in this way.
fn answering(status: u16, media_type: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = format!(
                "HTTP/1.1 {status} Found\r\nContent-Type: {media_type}\r\nConnection: close\r\n"
            );
            let _request = stream.read(&mut [0; 1 << 16]);
            let _gone = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn a_server_makes_no_lines_and_moves_no_cursor_on_standard_error() {
    // clears the screen, goes back in the line, begins another, turns the direction of writing
    const FORGED: &str =
        "no\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}1A\rrowferry: all is well\u{202e}\u{8}";
    const FORGED_LINE: &str = "no\nrowferry: all is well";
    let connectors = file(&json!([{"name": "x", "config": {"connector.class": "JdbcSink"}}]));
    let verbs: [&[&str]; 18] = [
        &["get"],
        &["health"],
        &["describe", "x"],
        &["status", "x"],
        &["apply", "-f", &connectors],
        &["apply", "--dry-run", "-f", &connectors],
        &["create", "-f", &connectors],
        &["delete", "x", "y"],
        &["pause", "x"],
        &["stop", "x"],
        &["restart", "x"],
        &["lag", "x"],
        &["history", "x"],
        &["restore", "x", "1"],
        &["get", "--json"],
        &["describe", "x", "--json"],
        &["status", "x", "--json"],
        &["health", "--json"],
    ];
    let said = |text: &str| json!({"error_code": 500, "message": text}).to_string();
    let health = json!({"status": "healthy", "message": FORGED, "warnings": [FORGED, FORGED_LINE]})
        .to_string();
    for (status, media_type, body) in [
        (500, "application/json", said(FORGED)),
        (409, "application/json", said(FORGED_LINE)),
        (404, "application/json", said(FORGED)),
        (200, "application/json", json!(FORGED).to_string()),
        (502, "text/plain", FORGED.to_owned()),
        (200, "text/plain", FORGED.to_owned()),
        (200, "application/json", health),
    ] {
        let server = answering(status, media_type, body.clone());
        for verb in verbs {
            let (out, errors, _) = on(&server, verb);
            for text in [&out, &errors] {
                let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
                assert!(!text.contains(bad), "{verb:?} {status} {body}: {text:?}");
            }
            // a message of several lines is set off from what the command says itself
            assert!(
                !errors.lines().any(|line| line == "rowferry: all is well"),
                "{verb:?} {status}: {errors}"
            );
            let is_shown = status >= 400 && media_type == "application/json" && verb[0] != "health";
            if is_shown && body.contains("[2J") {
                assert!(errors.contains("\\u{1b}[2J"), "{verb:?} {status}: {errors}");
            }
        }
    }
}

#[tokio::test]
async fn output_that_nobody_reads_ends_commands_as_it_ends_other_tools_and_stops_nothing_half_way()
{
    let (one, two) = (unique("one"), unique("two"));
    for name in [&one, &two] {
        let made = json!({"name": name, "config": sink(name, json!({}))});
        lab()
            .worker()
            .rest()
            .post("/connectors", &made)
            .await
            .expect(201);
    }
    let local: [&[&str]; 4] = [
        &["version"],
        &["keys"],
        &["keys", "worker"],
        &["serve", "--print-config"],
    ];
    let remote: [&[&str]; 10] = [
        &["get"],
        &["get", "plugins", "--json"],
        &["get", "loggers"],
        &["health"],
        &["describe", &one],
        &["status", &one],
        &["status", &one, "--json"],
        &["lag", &one],
        &["history", &one],
        &["pause", &one, &two],
    ];
    let commands = local.map(|args| (args, false));
    for (args, is_remote) in commands.into_iter().chain(remote.map(|args| (args, true))) {
        let ended = unread(args, is_remote, broken_pipe());
        assert_eq!(ended, (String::new(), Some(141)), "{args:?}");
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let (said, code) = unread(&["version"], false, full);
    assert_eq!(code, Some(74));
    assert!(said.starts_with("rowferry: standard output: "), "{said}");
    for name in [&one, &two] {
        lab().worker().rest().wait_state(name, "PAUSED", SOON).await;
        lab().worker().rest().remove(name).await;
    }
}

#[test]
fn a_worker_is_asked_through_the_proxy_of_the_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = |no_proxy: &str| {
        let mut command = program(&["health", "--server", "http://worker.invalid:8083"]);
        command.env("HTTP_PROXY", &proxy).env("NO_PROXY", no_proxy);
        command
    };
    let direct = asked("localhost,.invalid").output().unwrap();
    assert_eq!(direct.status.code(), Some(69), "no such host is known");
    let asking = asked("")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut seen = vec![0; 4096];
    let length = stream.read(&mut seen).unwrap();
    let seen = String::from_utf8_lossy(&seen[..length]).into_owned();
    assert!(
        seen.starts_with("GET http://worker.invalid:8083/health HTTP/1.1"),
        "{seen}"
    );
    let health = json!({"status": "healthy", "message": "by a proxy"}).to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{health}",
        health.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
    let output = asking.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("healthy: by a proxy\n".to_owned(), Some(0)),
        "{}",
        text(&output.stderr)
    );
}
