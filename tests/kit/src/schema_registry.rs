//! A schema registry on a port of its own: a small HTTP server that speaks the REST API of Confluent's, as far as
//! converters use it. (Confluent's own is not to be had from Maven Central.) It checks no compatibility.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::lab::free_port;

/// A running registry. What is registered survives [`SchemaRegistry::stop`] and [`SchemaRegistry::start_again`].
pub struct SchemaRegistry {
    port: u16,
    known: Arc<Mutex<Known>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Known {
    /// The schema of each id, counted from 1: what was posted.
    schemas: Vec<Value>,
    /// The ids of each subject's versions.
    subjects: Vec<(String, Vec<usize>)>,
    /// `METHOD path` of each request.
    requests: Vec<String>,
    /// The `Authorization` that is asked for.
    authorization: Option<String>,
    /// Subjects that take no schema, as one that is not compatible.
    closed: Vec<String>,
    /// Where reads are redirected to.
    elsewhere: Option<String>,
}

impl SchemaRegistry {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let registry = Self {
            port: free_port(),
            known: Arc::default(),
            running: Mutex::new(None),
        };
        registry.start_again();
        registry
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets only those in who send this `Authorization`.
    pub fn require(&self, authorization: &str) {
        self.known().authorization = Some(authorization.to_owned());
    }

    /// Refuses every new schema of that subject as not compatible.
    pub fn close(&self, subject: &str) {
        self.known().closed.push(subject.to_owned());
    }

    /// Redirects everything that is read to another address.
    pub fn redirect_reads(&self, address: &str) {
        self.known().elsewhere = Some(address.to_owned());
    }

    /// All subjects, sorted.
    pub fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self
            .known()
            .subjects
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        subjects.sort();
        subjects
    }

    /// The newest schema of a subject, as it was posted.
    pub fn latest(&self, subject: &str) -> Option<Value> {
        let known = self.known();
        let (_, ids) = known.subjects.iter().find(|(name, _)| name == subject)?;
        known.schemas.get(ids.last()? - 1).cloned()
    }

    /// `METHOD path` of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.known().requests.clone()
    }

    /// Closes the port.
    pub fn stop(&self) {
        if let Some(running) = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            let _ = running.stop.send(());
            running.thread.join().expect("the registry's thread");
        }
    }

    /// Opens the port again.
    pub fn start_again(&self) {
        let (stop, stopped) = oneshot::channel();
        let (known, port) = (Arc::clone(&self.known), self.port);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", port))
                    .await
                    .expect("bind the registry's port");
                ready.send(()).expect("somebody waits");
                tokio::select! {
                    () = serve(listener, known) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("the registry starts");
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Running { stop, thread });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, known: Arc<Mutex<Known>>) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let known = Arc::clone(&known);
        let service = service_fn(move |request| answer(request, Arc::clone(&known)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    known: Arc<Mutex<Known>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let path = head.uri.path().to_owned();
    known.requests.push(format!("{} {path}", head.method));
    let given = head
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let elsewhere = known
        .elsewhere
        .as_ref()
        .filter(|_| head.method == Method::GET);
    if let Some(address) = elsewhere {
        let redirect = Response::builder()
            .status(307)
            .header("location", format!("{address}{path}"));
        return Ok(redirect.body(Full::default()).expect("a response"));
    }
    let (status, answer) = if known.authorization.is_some() && known.authorization != given {
        (401, json!({"error_code": 401, "message": "Unauthorized"}))
    } else {
        known.answer(
            &head.method,
            &path,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/vnd.schemaregistry.v1+json");
    Ok(response
        .body(Full::new(Bytes::from(answer.to_string())))
        .expect("a response"))
}

fn missing(code: u64, message: &str) -> (u16, Value) {
    (404, json!({"error_code": code, "message": message}))
}

impl Known {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let parts: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["subjects", subject, "versions"]) => self.register(subject, body),
            ("POST", ["subjects", subject]) => self.find(subject, &body),
            ("GET", ["subjects", subject, "versions", version]) => self.version(subject, version),
            ("GET", ["schemas", "ids", id]) => {
                let found = id
                    .parse::<usize>()
                    .ok()
                    .and_then(|id| self.schemas.get(id.checked_sub(1)?));
                found.map_or_else(
                    || missing(40403, "Schema not found"),
                    |schema| (200, schema.clone()),
                )
            }
            _ => missing(404, "HTTP 404 Not Found"),
        }
    }

    fn register(&mut self, subject: &str, body: Value) -> (u16, Value) {
        if self.closed.iter().any(|closed| closed == subject) {
            let message = "Schema being registered is incompatible with an earlier schema";
            return (409, json!({"error_code": 409, "message": message}));
        }
        let id = match self.schemas.iter().position(|known| *known == body) {
            Some(at) => at + 1,
            None => {
                self.schemas.push(body);
                self.schemas.len()
            }
        };
        match self.subjects.iter_mut().find(|(name, _)| name == subject) {
            Some((_, ids)) if ids.contains(&id) => {}
            Some((_, ids)) => ids.push(id),
            None => self.subjects.push((subject.to_owned(), vec![id])),
        }
        (200, json!({"id": id}))
    }

    fn find(&self, subject: &str, body: &Value) -> (u16, Value) {
        let Some((_, ids)) = self.subjects.iter().find(|(name, _)| name == subject) else {
            return missing(40401, "Subject not found");
        };
        match ids.iter().position(|id| self.schemas[id - 1] == *body) {
            Some(at) => (200, self.described(subject, ids[at], at + 1)),
            None => missing(40403, "Schema not found"),
        }
    }

    fn version(&self, subject: &str, version: &str) -> (u16, Value) {
        let Some((_, ids)) = self.subjects.iter().find(|(name, _)| name == subject) else {
            return missing(40401, "Subject not found");
        };
        let at = if version == "latest" {
            ids.len()
        } else {
            version.parse().unwrap_or_default()
        };
        match at.checked_sub(1).and_then(|at| ids.get(at)) {
            Some(id) => (200, self.described(subject, *id, at)),
            None => missing(40402, "Version not found"),
        }
    }

    fn described(&self, subject: &str, id: usize, version: usize) -> Value {
        let mut all = self.schemas[id - 1].clone();
        all["subject"] = json!(subject);
        all["id"] = json!(id);
        all["version"] = json!(version);
        all
    }
}

/// Percent-decoded.
fn decoded(part: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), part.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex.filter(|_| byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).expect("a path of text")
}
