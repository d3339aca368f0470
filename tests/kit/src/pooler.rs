//! A connection pooler before PostgreSQL, as far as its clients notice it: each transaction runs on another server process,
//! and the login reports a process that no server has. Without transactions (`pool_mode=statement`) it refuses BEGIN.
//!
//! The server must trust its clients: each client has two connections to it, which log in with the client's own message.

use std::io::Result;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What a client keeps its server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// One transaction.
    Transaction,
    /// One statement.
    Statement,
}

const SSL_REQUEST: u32 = 80_877_103;
const REFUSAL: &[u8] =
    b"SFATAL\0C08P01\0Mtransaction blocks not allowed in statement pooling mode\0\0";

/// Starts a pooler before the server on that loopback port, and returns its own port. It ends with the runtime that it was
/// started in.
pub async fn start(server: u16, mode: PoolMode) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port for the pooler");
    let port = listener.local_addr().expect("the pooler's address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // a client that goes away is no failure
            tokio::spawn(async move { drop(serve(client, server, mode).await) });
        }
    });
    port
}

/// One message: its type and everything after its length.
async fn message(from: &mut (impl AsyncReadExt + Unpin)) -> Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    let length = from.read_u32().await?;
    let mut body = vec![0; length.saturating_sub(4) as usize];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

fn bytes(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Logs a connection in. Returns it with what the server has said until it is ready, its process replaced.
async fn log_in(server: u16, startup: &[u8]) -> Result<(OwnedReadHalf, OwnedWriteHalf, Vec<u8>)> {
    let (mut from, mut to) = TcpStream::connect(("127.0.0.1", server))
        .await?
        .into_split();
    to.write_all(startup).await?;
    let mut said = Vec::new();
    loop {
        let (kind, mut body) = message(&mut from).await?;
        if kind == b'K' {
            body[..4].copy_from_slice(&[0, 0, 0, 1]);
        }
        said.extend(bytes(kind, &body));
        if matches!(kind, b'Z' | b'E') {
            return Ok((from, to, said));
        }
    }
}

async fn serve(mut client: TcpStream, server: u16, mode: PoolMode) -> Result<()> {
    let startup = loop {
        let length = client.read_u32().await?;
        let mut body = vec![0; length.saturating_sub(4) as usize];
        client.read_exact(&mut body).await?;
        if body == SSL_REQUEST.to_be_bytes() {
            client.write_all(b"N").await?;
        } else {
            break [&length.to_be_bytes()[..], &body].concat();
        }
    };
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for n in 0..2 {
        let (read, write, said) = log_in(server, &startup).await?;
        if n == 0 {
            client.write_all(&said).await?;
        }
        from.push(read);
        to.push(write);
    }
    let mut now = 0;
    loop {
        // what the client sends until it waits for the server
        let (kind, body) = message(&mut client).await?;
        if mode == PoolMode::Statement && kind == b'Q' && body.starts_with(b"BEGIN") {
            return client.write_all(&bytes(b'E', REFUSAL)).await;
        }
        to[now].write_all(&bytes(kind, &body)).await?;
        if !matches!(kind, b'Q' | b'S' | b'c' | b'f') {
            continue;
        }
        loop {
            let (kind, body) = message(&mut from[now]).await?;
            client.write_all(&bytes(kind, &body)).await?;
            match (kind, body.first()) {
                (b'Z', Some(b'I')) => {
                    now = 1 - now;
                    break;
                }
                // in a transaction, or a COPY that waits for its rows
                (b'Z' | b'G', _) => break,
                _ => {}
            }
        }
    }
}
