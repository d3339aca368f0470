//! Connections of a listener: how long a request's head may be and take, how many there may be, and their end.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest head of a request, in bytes; a longer one is answered with 431.
const HEAD_MAX: usize = 64 * 1024;
/// A client that has not sent the head of its next request within this time is hung up on.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 1024;

/// Serves until `shutdown` ends; requests under way are finished.
/// Errors: none while the listener lives; axum's listeners try again by themselves.
pub(super) async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, _) = listener.accept(), if connections.len() < CONNECTIONS => {
                connections.spawn(connection(TokioIo::new(stream), router.clone(), stopping.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, stopping));
    // Each connection sees that the other end is gone.
    drop(stop);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn connection<I>(stream: I, router: Router, mut stopping: watch::Receiver<()>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_MAX);
    let serving = builder.serve_connection(stream, TowerToHyperService::new(router));
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
