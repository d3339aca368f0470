//! Tests the routes with a minimal herder, because they test HTTP and not how connectors run.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use connector_api::Config;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::{ConnectorLocks, LogLevels, MainRuntime, RestState, router};
use crate::herder::plan::Planner;
use crate::herder::validate::fixture;
use crate::herder::validate::{Validator, WorkerFacts};
use crate::herder::{
    ConnectorView, Direction, Herder, HerderCommand, HerderRefusal, HerderVerb, OffsetListing,
    TaskView, WorkerHealth, WorkerInfo,
};
use crate::model::{RunState, RunStatus, TargetState};
use crate::registry::Registry;
use crate::settings::TopicTracking;

struct NoLog;

impl super::loggers::LogControl for NoLog {
    fn levels(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn root(&self) -> String {
        "INFO".to_owned()
    }

    fn known(&self) -> Vec<String> {
        Vec::new()
    }

    fn set(&self, _directives: &str) {}
}

fn app() -> axum::Router {
    let (commands, mut received) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut connectors = BTreeMap::new();
        while let Some(command) = received.recv().await {
            answer(&mut connectors, command);
        }
    });
    let validator = Validator::new(
        Registry::default().and(fixture::source()),
        WorkerFacts::default(),
    );
    let herder = Herder::new(commands);
    let options = crate::worker::config_reads::options(Config::new());
    let worker = crate::worker::Worker::new(options, Registry::default(), mpsc::channel(8).0);
    router(RestState {
        planner: Planner::new(herder.clone(), validator.clone(), worker),
        herder,
        validator,
        levels: LogLevels::new(NoLog),
        turns: ConnectorLocks::default(),
        topic_tracking: TopicTracking {
            enabled: true,
            allow_reset: true,
        },
        admin: true,
        warnings: Default::default(),
        main: MainRuntime::current(),
        metrics: super::MetricsSource {
            metrics: crate::metrics::WorkerMetrics::new(200),
            spellings: crate::metrics::Spelling::ALL.into(),
        },
        logs: super::ConnectorLogs {
            lines: Default::default(),
            set_level: std::sync::Arc::new(|_, _, _| true),
        },
        worker: crate::worker::Worker::new(
            crate::worker::config_reads::options(Config::new()),
            Registry::built_in(),
            tokio::sync::mpsc::channel(1).0,
        ),
    })
}

fn view(name: &str, config: Config, target: TargetState) -> ConnectorView {
    let state = match target {
        TargetState::Started => RunState::Running,
        TargetState::Paused => RunState::Paused,
        TargetState::Stopped => RunState::Stopped,
    };
    let status = RunStatus {
        state,
        worker_id: Arc::from("h:1"),
        trace: None,
    };
    let task = TaskView {
        id: 0,
        config: Config::new(),
        status: status.clone(),
        progress: None,
        waits: None,
    };
    let tasks = if target == TargetState::Stopped {
        Vec::new()
    } else {
        vec![task]
    };
    ConnectorView {
        name: name.into(),
        config,
        direction: Direction::Source,
        target,
        status: Some(status),
        tasks,
    }
}

fn answer(connectors: &mut BTreeMap<String, ConnectorView>, command: HerderCommand) {
    let find = |name: &str, all: &BTreeMap<String, ConnectorView>| {
        all.get(name)
            .cloned()
            .ok_or_else(|| HerderRefusal::UnknownConnector(name.to_owned()))
    };
    match command.verb {
        HerderVerb::List { reply } => {
            drop(reply.send(Ok(connectors.values().cloned().collect())));
        }
        HerderVerb::Get { name, reply } => drop(reply.send(find(&name, connectors))),
        HerderVerb::Create {
            name,
            config,
            target,
            reply,
        } => {
            let outcome = match connectors.get(&name) {
                Some(_) => Err(HerderRefusal::AlreadyExists(name)),
                None => Ok(connectors
                    .entry(name.clone())
                    .or_insert(view(&name, config, target))
                    .clone()),
            };
            drop(reply.send(outcome));
        }
        HerderVerb::SetTarget {
            name,
            target,
            reply,
        } => {
            let outcome = find(&name, connectors)
                .map(|old| drop(connectors.insert(name.clone(), view(&name, old.config, target))));
            drop(reply.send(outcome));
        }
        HerderVerb::Restart { name, reply, .. } => drop(reply.send(find(&name, connectors))),
        HerderVerb::Topics { reply, .. } => drop(reply.send(Ok(Vec::new()))),
        HerderVerb::Info { reply } => drop(reply.send(Ok(WorkerInfo::default()))),
        HerderVerb::Health { reply } => {
            drop(reply.send(Ok((WorkerHealth::Starting(None), Vec::new()))));
        }
        HerderVerb::PutConfig {
            name,
            config,
            reply,
            ..
        } => {
            let new = !connectors.contains_key(&name);
            let stored = connectors
                .entry(name.clone())
                .or_insert(view(&name, config, TargetState::Started))
                .clone();
            drop(reply.send(Ok((stored, new))));
        }
        HerderVerb::Delete { name, reply } => {
            let gone = connectors
                .remove(&name)
                .map(drop)
                .ok_or(HerderRefusal::UnknownConnector(name));
            drop(reply.send(gone));
        }
        HerderVerb::RestartTask { name, task, reply } => {
            let found = find(&name, connectors).and(Err(HerderRefusal::UnknownTask(name, task)));
            drop(reply.send(found));
        }
        HerderVerb::Offsets { name, reply } => {
            drop(reply.send(find(&name, connectors).map(|_| OffsetListing::Source(Vec::new()))));
        }
        HerderVerb::ChangeOffsets { name, reply, .. } => {
            drop(reply.send(find(&name, connectors).and(Err(HerderRefusal::NotStopped(name)))));
        }
        HerderVerb::Workers { reply } => drop(reply.send(Ok(Vec::new()))),
        HerderVerb::Drain { worker, reply, .. } => {
            drop(reply.send(Err(HerderRefusal::UnknownWorker(worker))));
        }
        HerderVerb::History { reply, .. } => drop(reply.send(Ok(Vec::new()))),
        HerderVerb::ResetTopics { reply, .. } => drop(reply.send(Ok(()))),
    }
}

fn document() -> String {
    let (_, document) = super::openapi::describe(super::api(true));
    document.to_pretty_json().unwrap() + "\n"
}

async fn call(
    app: &axum::Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, Value) {
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app
        .clone()
        .oneshot(request.body(Body::from(body.to_owned())).unwrap())
        .await
        .unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

fn error(status: u16, message: &str) -> (StatusCode, Value) {
    (
        StatusCode::from_u16(status).unwrap(),
        json!({"error_code": status, "message": message}),
    )
}

#[tokio::test]
async fn every_refusal_has_the_error_body() {
    let app = app();
    for (method, path, headers, status, message) in [
        ("GET", "/nope", vec![], 404, "HTTP 404 Not Found"),
        (
            "DELETE",
            "/connectors",
            vec![],
            405,
            "HTTP 405 Method Not Allowed",
        ),
        (
            "PROPFIND",
            "/connectors/",
            vec![],
            405,
            "HTTP 405 Method Not Allowed",
        ),
        (
            "GET",
            "/",
            vec![("accept", "text/html")],
            406,
            "HTTP 406 Not Acceptable",
        ),
        (
            "GET",
            "/",
            vec![("accept", "application/json;q=0, text/html")],
            406,
            "HTTP 406 Not Acceptable",
        ),
        (
            "PUT",
            "/connectors/x/pause",
            vec![("content-type", "text/plain")],
            415,
            "HTTP 415 Unsupported Media Type",
        ),
        ("GET", "/connectors/x", vec![], 404, "Connector x not found"),
        (
            "GET",
            "/connectors/a%2Fb/",
            vec![],
            404,
            "Connector a/b not found",
        ),
        (
            "GET",
            "/connectors/x/status",
            vec![],
            404,
            "No status found for connector x",
        ),
        (
            "GET",
            "/connectors/x/tasks/-1/status",
            vec![],
            404,
            "No status found for task x--1",
        ),
        (
            "GET",
            "/connectors/x/tasks/1.5/status",
            vec![],
            404,
            "HTTP 404 Not Found",
        ),
        (
            "PUT",
            "/connectors/x/stop",
            vec![],
            404,
            "Unknown connector x",
        ),
        (
            "POST",
            "/connectors/x/restart?includeTasks=True",
            vec![],
            404,
            "Unknown connector: x",
        ),
    ] {
        assert_eq!(
            call(&app, method, path, &headers, "").await,
            error(status, message),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn options_lists_the_methods_of_a_resource() {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri("/connectors/x/config")
        .body(Body::empty())
        .unwrap();
    let response = app().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut allow: Vec<_> = response.headers()[header::ALLOW]
        .to_str()
        .unwrap()
        .split(',')
        .collect();
    allow.sort_unstable();
    assert_eq!(allow, ["GET", "HEAD", "OPTIONS", "PATCH", "PUT"]);
}

#[tokio::test]
async fn a_connector_is_created_once_and_shown_as_it_is() {
    let app = app();
    let json_type = [("content-type", "application/json"), ("host", "h:8083")];
    let body = r#"{"name":" a b\t","config":{"connector.class":"Rows","url":"u","tasks.max":1},"initial_state":"paused"}"#;
    let request = Request::builder()
        .method("POST")
        .uri("/connectors")
        .header("content-type", "application/json");
    let request = request
        .header("host", "h:8083")
        .body(Body::from(body))
        .unwrap();
    let created = app.clone().oneshot(request).await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(
        created.headers()[header::LOCATION],
        "http://h:8083/connectors/a%20b"
    );
    assert_eq!(
        call(&app, "POST", "/connectors", &json_type, body).await,
        error(409, "Connector a b already exists")
    );

    let info = json!({"name": "a b", "config": {"connector.class": "Rows", "name": "a b", "tasks.max": "1", "url": "u"},
        "tasks": [{"connector": "a b", "task": 0}], "type": "source"});
    assert_eq!(
        call(&app, "GET", "/connectors/a%20b/", &[], "").await,
        (StatusCode::OK, info.clone())
    );
    let (_, expanded) = call(
        &app,
        "GET",
        "/connectors?expand=info&expand=status&expand=x",
        &[],
        "",
    )
    .await;
    assert_eq!(expanded["a b"]["info"], info);
    assert_eq!(
        expanded["a b"]["status"]["tasks"][0],
        json!({"id": 0, "state": "PAUSED", "worker_id": "h:1", "version": "1.2.3"})
    );
    assert_eq!(
        call(&app, "PUT", "/connectors/a%20b/stop", &[], "{}")
            .await
            .0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        call(&app, "GET", "/connectors?expand=x", &[], "").await.1,
        json!({"a b": {}})
    );
    let (status, _) = call(
        &app,
        "POST",
        "/connectors/a%20b/restart?onlyFailed=TRUE",
        &[],
        "",
    )
    .await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_400_and_say_where() {
    let app = app();
    let json_type = [("content-type", "application/json")];
    for (body, part) in [
        ("", "it is empty"),
        ("null", "expected an object with"),
        (
            "{\"name\":\"x\",\"config\":{},}",
            "trailing comma at line 1 column 25",
        ),
        (
            "{\"name\":\"x\",\"config\":{\"a\":[1]}}",
            "the value of \"a\" must be text, not an array",
        ),
        ("{\"name\":\"x\",\"config\":{}} tail", "trailing characters"),
        ("{\"name\":\"x\"}", "\"config\" is missing"),
        (
            "{\"name\":\"x\",\"config\":{},\"initial_state\":\"on\"}",
            "initial_state \"on\" is unknown",
        ),
    ] {
        let (status, answer) = call(&app, "POST", "/connectors", &json_type, body).await;
        let message = answer["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(message.contains(part), "{body}: {message}");
    }
    let refused = error(415, "HTTP 415 Unsupported Media Type");
    assert_eq!(call(&app, "POST", "/connectors", &[], "{}").await, refused);
}

#[tokio::test]
async fn a_config_is_refused_with_every_error_at_once() {
    let app = app();
    let json_type = [("content-type", "application/json")];
    let body = r#"{"name":"x","config":{"connector.class":"a.b.RowsConnector","tasks.max":"many","x":null}}"#;
    let lines = [
        "Connector configuration is invalid and contains the following 4 error(s):",
        "Invalid value many for configuration tasks.max: Not a number of type INT",
        "Invalid value null for configuration tasks.max: Value must be non-null",
        "Missing required configuration \"url\" which has no default value.",
        "Null value can not be supplied as the configuration value.",
        "You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`",
    ];
    assert_eq!(
        call(&app, "POST", "/connectors", &json_type, body).await,
        error(400, &lines.join("\n"))
    );
    let body = r#"{"name":"x","config":{"a.password":"s3","a.url":"jdbc:mysql://u:s3@h/d"}}"#;
    let text = "Connector config {a.password=[hidden], a.url=jdbc:mysql://u:****@h/d, name=x} contains no connector type";
    assert_eq!(
        call(&app, "POST", "/connectors", &json_type, body).await,
        error(400, text)
    );
    let body = format!(
        r#"{{"name":"x","config":{{"a":"{}"}}}}"#,
        "é".repeat(100_000)
    );
    let (_, answer) = call(&app, "POST", "/connectors", &json_type, &body).await;
    assert!(answer["message"].as_str().unwrap().len() < 1000, "{answer}");
    let (status, answer) = call(
        &app,
        "PUT",
        "/connectors/x/config",
        &json_type,
        r#"{"connector.class":"no.Such"}"#,
    )
    .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let text = "Failed to find any class that implements Connector and which name matches no.Such, available connectors are: ";
    assert!(
        answer["message"].as_str().unwrap().starts_with(text),
        "{answer}"
    );
}

#[tokio::test]
async fn every_route_is_in_the_document_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document = document();
    if std::env::var_os("ROWFERRY_WRITE_DOCS").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        kept, document,
        "docs/openapi.json is out of date: run ROWFERRY_WRITE_DOCS=1 cargo test"
    );
    let (status, served) = call(&app(), "GET", "/openapi.json", &[], "").await;
    assert_eq!(
        (status, served),
        (StatusCode::OK, serde_json::from_str(&document).unwrap())
    );
}

#[tokio::test]
async fn the_page_about_the_api_needs_no_network() {
    let app = app();
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/docs/docs.js", "text/javascript"),
        ("/docs/docs.css", "text/css"),
    ] {
        let request = Request::builder()
            .uri(path)
            .header("accept", "text/html")
            .body(Body::empty())
            .unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert!(
            response.headers()[header::CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with(kind)
        );
        let text = String::from_utf8(
            to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap()
                .to_vec(),
        )
        .unwrap();
        assert!(
            !text.contains("://"),
            "{path} loads something from elsewhere"
        );
    }
}

#[tokio::test]
async fn a_database_that_hangs_holds_up_no_other_request() {
    let app = app();
    let hanging = app.clone();
    let create = tokio::spawn(async move {
        let body = r#"{"name":"h","config":{"connector.class":"Rows","url":"hanging"}}"#;
        call(
            &hanging,
            "POST",
            "/connectors",
            &[("content-type", "application/json")],
            body,
        )
        .await
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        call(&app, "GET", "/connectors", &[], "").await,
        (StatusCode::OK, json!([]))
    );
    assert!(!create.is_finished());
    create.abort();
}

/// Bodies, paths and headers that are damaged randomly.
#[tokio::test]
async fn ten_thousand_broken_requests_are_refused_one_by_one() {
    let app = app();
    let seed = std::env::var("ROWFERRY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(std::process::id().into());
    println!("ROWFERRY_SEED={seed}");
    let mut state: u64 = seed;
    let mut below = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "BREW"];
    const PATHS: [&str; 12] = [
        "/connectors",
        "/connectors/%FF%FE",
        "/connectors/%00",
        "/connectors/a%2F..%2Fb/config",
        "/connectors/x/offsets",
        "/connectors/x/tasks/99999999999999999999/restart",
        "/connector-plugins/%20/config/validate",
        "/connectors?expand=%FF&expand",
        "/admin/loggers/%0A",
        "/v1/connectors/x/history/-1/restore",
        "/connectors/x/config",
        "//",
    ];
    const TYPES: [&str; 4] = [
        "application/json",
        "text/plain",
        "application/json;charset=x",
        "\u{7f}",
    ];
    const BODY: &str = r#"{"name":"x","config":{"connector.class":"Rows","url":"u","a":[1,{"b":null}]},"offsets":[{}]}"#;
    for number in 0..10_000 {
        let mut body = BODY.as_bytes().to_vec();
        for _ in 0..below(6) {
            let at = below(body.len());
            body[at] = u8::try_from(below(256)).unwrap();
        }
        body.truncate(below(body.len() + 1));
        let (method, path) = (METHODS[below(METHODS.len())], PATHS[below(PATHS.len())]);
        let mut request = Request::builder().method(method).uri(path);
        if let Ok(kind) = axum::http::HeaderValue::from_str(TYPES[below(TYPES.len())]) {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let response = app
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let (status, json) = (
            response.status(),
            to_bytes(response.into_body(), usize::MAX).await.unwrap(),
        );
        assert!(
            status.as_u16() < 500,
            "{number}: {method} {path}: {status} {}",
            String::from_utf8_lossy(&json)
        );
        if status.as_u16() >= 400 && method != "HEAD" {
            let answer: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(
                answer["error_code"],
                status.as_u16(),
                "{number}: {method} {path}"
            );
            assert!(
                answer["message"].as_str().is_some_and(|m| !m.is_empty()),
                "{number}: {method} {path}"
            );
        }
    }
    assert_eq!(
        call(&app, "GET", "/connectors/never", &[], "").await,
        error(404, "Connector never not found")
    );
}
