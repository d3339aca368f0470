//! Progress bars: for a person at a terminal, and for nobody else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::command_line::{printed, program};

/// A worker that answers after a while; its address.
fn slow() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _request = stream.read(&mut [0; 1 << 12]);
                std::thread::sleep(Duration::from_secs(3));
                let body = json!({"status": "healthy", "message": "at last"}).to_string();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let _gone = write!(
                    stream,
                    "{head}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    address
}

/// What `script`, which makes a terminal, shows of a command with these variables.
fn on_a_terminal(server: &str, args: &str, variables: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_rowferry");
    let line = format!("{program} health {args} --server {server}");
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR");
    script.envs(variables.iter().copied());
    let output = script.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_person_at_a_terminal_sees_what_a_command_waits_for_and_nobody_else_does() {
    let server = slow();
    let bar = format!("waiting for http://{server}");
    let shown = on_a_terminal(&server, "", &[]);
    let (while_waiting, outcome) = shown.split_once("healthy: at last").unwrap();
    assert!(
        while_waiting.contains(&bar) && outcome.trim().is_empty(),
        "{shown:?}"
    );
    let last_line = while_waiting.rsplit(['\r', '\n']).next().unwrap();
    assert!(!last_line.contains("waiting"), "it is cleared: {shown:?}");
    for (args, variables) in [
        ("", [("NO_COLOR", "1")]),
        ("", [("TERM", "dumb")]),
        ("-o json", [("X", "")]),
        ("2>/dev/null", [("X", "")]),
    ] {
        let shown = on_a_terminal(&server, args, &variables);
        assert!(
            shown.contains("at last") && !shown.contains("waiting"),
            "{args} {variables:?}: {shown:?}"
        );
    }
    let (out, errors, code) = printed(program(&["health"]).args(["--server", &server]));
    assert_eq!(
        (out.as_str(), errors.as_str(), code),
        ("healthy: at last\n", "", Some(0))
    );
}
