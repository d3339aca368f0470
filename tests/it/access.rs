//! Who may reach a worker, and how: users and tokens, HTTPS, pages of other sites, the command line.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testkit::{MariaDb, Rowferry, Settings, for_condition, unique};

use crate::command_line::{on, printed_with, program};
use crate::lifecycle::table;
use crate::{SOON, lab};

/// What a command with this input prints. It succeeds.
pub(crate) fn rowferry(args: &[&str], input: &str) -> (String, String) {
    let (out, errors, code) = printed_with(&mut program(args), input);
    assert_eq!(code, Some(0), "{args:?}: {errors}");
    (out, errors)
}

/// curl's status and answer.
fn curl(args: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (
        status.to_owned(),
        format!("{body}{}", String::from_utf8_lossy(&output.stderr)),
    )
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
    settings = settings
        .with("rowferry.tls.certificate", &file("cert.pem"))
        .with("rowferry.tls.key", &file("key.pem"));
    settings.port = testkit::free_port();
    let listeners = format!(
        "listeners=http://127.0.0.1:{},https://127.0.0.1:{https}",
        settings.port
    );
    settings.args.extend(["--set".to_owned(), listeners]);
    let worker = Rowferry::start(lab().scratch(), settings);

    let (base, cacert) = (format!("https://127.0.0.1:{https}"), file("cert.pem"));
    let call = |args: &[&str]| curl(&[&["--cacert", cacert.as_str()], args].concat());
    let connectors = format!("{base}/connectors");
    assert_eq!(call(&[&connectors]).0, "401");
    assert_eq!(call(&["-u", "ann:wrong", &connectors]).0, "401");
    assert_eq!(
        call(&["-u", "ann:s3cret word", &connectors]),
        ("200".to_owned(), "[]".to_owned())
    );
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(call(&["-H", &bearer, &connectors]).0, "200");
    let refused = call(&["-H", &bearer, "-X", "DELETE", &format!("{connectors}/x")]);
    assert!(
        refused.0 == "403" && refused.1.contains("admin"),
        "{refused:?}"
    );
    assert_eq!(
        call(&[
            "-u",
            "ann:s3cret word",
            "-X",
            "DELETE",
            &format!("{connectors}/x")
        ])
        .0,
        "404"
    );
    let by_matrix = format!("{base}/connectors;v=1/x;w/config;");
    assert_eq!(
        call(&["-H", &bearer, "-X", "DELETE", &by_matrix]).0,
        "403",
        "roles are asked for the path that is served"
    );
    let (status, why) = curl(&[&connectors]);
    assert!(
        status == "000" && why.contains("certificate"),
        "a certificate that nobody knows is not trusted: {why}"
    );
    assert!(!worker.log().contains(token), "the log shows no token");

    let asked = |cacert: &str| {
        let args = ["get", "plugins", "--cacert", cacert, "--token", token];
        on(&base, &args)
    };
    let (listed, errors, code) = asked(&cacert);
    assert_eq!(code, Some(0), "{errors}");
    assert!(listed.contains("JdbcSinkConnector"));

    // Another certificate: the worker shows it once it is asked to reload its files.
    std::fs::copy(folder.join("cert.pem"), folder.join("old.pem")).unwrap();
    testkit::certificate(&folder);
    assert_ne!(
        asked(&cacert).2,
        Some(0),
        "the old certificate is still shown"
    );
    assert_eq!(asked(&file("old.pem")).2, Some(0));
    worker.signal("HUP");
    for_condition("the new certificate is shown", SOON, async || {
        asked(&cacert).2 == Some(0)
    })
    .await;
    let (_, errors, code) = asked(&file("old.pem"));
    assert_eq!(code, Some(69), "{errors}");
    assert!(errors.contains("TLS handshake"));
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let worker = lab().worker();
    let base = worker.rest().base();
    let url = format!("{base}/connectors/x/pause");
    assert_eq!(
        curl(&["-X", "PUT", "-H", "Origin: https://evil.test", &url]).0,
        "403"
    );
    assert_eq!(curl(&["-X", "PUT", &url]).0, "404");
    assert_eq!(
        curl(&["-H", "Host: evil.test", &format!("{base}/connectors")]).0,
        "421"
    );
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
    assert_eq!(
        call(&["apply", "--dry-run", "-f", &file]),
        format!("{name} is valid\n")
    );
    assert_eq!(call(&["create", "-f", &file]), format!("{name} created\n"));
    assert_eq!(call(&["apply", "-f", &file]), format!("{name} unchanged\n"));
    worker.rest().wait_state(&name, "RUNNING", SOON).await;
    assert!(
        call(&["get"])
            .lines()
            .any(|line| line.starts_with(&name) && line.contains("1/1"))
    );
    let described = call(&["describe", &name]);
    assert!(
        described.contains("RUNNING") && !described.contains(MariaDb::PASSWORD),
        "{described}"
    );
    call(&["pause", &name]);
    worker.rest().wait_state(&name, "PAUSED", SOON).await;
    assert!(call(&["status", &name]).contains("PAUSED"));
    call(&["resume", &name]);
    call(&["restart", &name, "--tasks"]);
    worker.rest().wait_state(&name, "RUNNING", SOON).await;
    call(&["stop", &name]);
    assert!(call(&["history", &name]).contains("version 1"));
    call(&["delete", &name]);
    assert_eq!(on(base, &["status", &name]).2, Some(1));
    assert_eq!(on("127.0.0.1:1", &["get"]).2, Some(69));
}
