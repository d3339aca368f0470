//! The connections of a listener: slots, handshakes, requests in sequence, and their end.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::activity::{ConnectionActivity, RESERVED, USUAL, WatchedStream};
use super::budget::{BodyBudget, CountedBody, metered};
use super::error::ApiError;
use super::gate::{ConnectionGate, ConnectionLimits, GateFull};
use super::main_runtime::MainRuntime;
use super::tls::ServerTls;

/// Maximum length of the head of a request, in bytes; a longer one is answered with 431.
const HEAD_MAX: usize = 64 * 1024;
/// Paths that the reserved share of connections serves, and that do not use the main runtime.
const PROBES: [&str; 3] = ["/health", "/livez", "/readyz"];

/// What all listeners of a worker share: slots for connections, and memory for bodies. Cheap to
/// clone.
#[derive(Clone)]
pub(crate) struct SharedServer {
    gate: Arc<ConnectionGate>,
    budget: BodyBudget,
}

impl SharedServer {
    /// Creates the shared state with these limits.
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            gate: ConnectionGate::new(limits),
            budget: BodyBudget::default(),
        }
    }
}

/// The address of the client that sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) SocketAddr);

/// Serves until `shutdown` ends; requests in progress are completed.
pub(super) async fn serve(
    mut listener: TcpListener,
    tls: Option<ServerTls>,
    (router, main): (Router, MainRuntime),
    reception: SharedServer,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, from) = Listener::accept(&mut listener) => {
                let activity = ConnectionActivity::new();
                let seat = reception.gate.seat(from.ip(), &activity);
                let full = seat.as_ref().err().copied();
                let exchange = ServedConnection {
                    router: router.clone(),
                    main: main.clone(),
                    budget: reception.budget.clone(),
                    activity,
                    peer: PeerAddress(from),
                    full,
                };
                let (tls, stopping) = (tls.clone(), stopping.clone());
                connections.spawn(async move {
                    exchange.connection(stream, tls, stopping).await;
                    drop(seat);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, stopping));
    // Lets each connection detect that the other end has disappeared.
    drop(stop);
    while connections.join_next().await.is_some() {}
}

/// One connection and its part of the worker.
#[derive(Clone)]
struct ServedConnection {
    router: Router,
    main: MainRuntime,
    budget: BodyBudget,
    activity: Arc<ConnectionActivity>,
    peer: PeerAddress,
    /// If it only has a slot in the reserved share: the reason.
    full: Option<GateFull>,
}

/// Records the end of an answer.
struct AnswerGuard(Arc<ConnectionActivity>);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.rest();
    }
}

impl ServedConnection {
    /// Runs a connection from the handshake to its end, unless it waits too long for its client.
    async fn connection(
        self,
        stream: TcpStream,
        tls: Option<ServerTls>,
        stopping: watch::Receiver<()>,
    ) {
        let (peer, activity) = (self.peer.0, Arc::clone(&self.activity));
        let patience = if self.full.is_some() { RESERVED } else { USUAL };
        let talk = async {
            match tls {
                None => self.requests(stream, stopping).await,
                Some(tls) => {
                    if let Some(stream) = tls.shake_hands(stream, peer).await {
                        self.requests(stream, stopping).await;
                    }
                }
            }
        };
        tokio::select! {
            () = talk => {}
            why = activity.exhausts(patience) => tracing::debug!(%peer, why, "a connection was ended"),
        }
    }

    async fn requests<S>(self, stream: S, mut stopping: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(WatchedStream::new(stream, Arc::clone(&self.activity)));
        let mut builder = http1::Builder::new();
        builder
            .header_read_timeout(None)
            .max_buf_size(HEAD_MAX)
            .keep_alive(self.full.is_none());
        let serving = builder.serve_connection(
            stream,
            service_fn(move |request| self.clone().answer(request)),
        );
        tokio::pin!(serving);
        let outcome = tokio::select! {
            outcome = &mut serving => outcome,
            _ = stopping.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection has ended");
        }
    }

    /// Answers a request. Never fails: errors are answers.
    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response, std::convert::Infallible> {
        self.activity.serve();
        let answering = AnswerGuard(Arc::clone(&self.activity));
        let is_probe = PROBES.contains(&request.uri().path().trim_end_matches('/'));
        if let Some(full) = self.full
            && !is_probe
        {
            let mut refused = ApiError::too_many_connections(full).into_response();
            refused
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Ok(refused.map(|body| CountedBody::body(body, answering)));
        }
        let share = self.budget.share();
        let mut request = metered(request, &share, &self.activity);
        request.extensions_mut().insert(share.clone());
        request.extensions_mut().insert(self.peer);
        let answer = if is_probe {
            let Ok(answer) = self.router.oneshot(request).await;
            answer
        } else {
            self.main.answer(self.router, request).await
        };
        drop(share);
        let bytes = answer.body().size_hint().exact().unwrap_or_default();
        let (answer, room) = match self
            .budget
            .answer(usize::try_from(bytes).unwrap_or(usize::MAX))
        {
            Some(room) => (answer, room),
            None => (ApiError::too_many_answers().into_response(), None),
        };
        Ok(answer.map(|body: Body| CountedBody::body(body, (answering, room))))
    }
}
