//! A TCP proxy before a database that cuts a connection at a chosen step of a conversation, so that a test can let a
//! client or its network die exactly there.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where a step is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the server gets the request.
    Request,
    /// After the server has acted, before the client gets the answer.
    Answer,
    /// Before the server gets the request, which keeps its end of the connection: what is between them has dropped it
    /// silently.
    Stranded,
}

#[derive(Default)]
struct State {
    /// Requests since the proxy was armed.
    steps: usize,
    at: Option<(usize, Cut)>,
    /// The servers' ends of stranded connections.
    stranded: Vec<TcpStream>,
}

/// A proxy on a loopback port of its own. It ends with the runtime of the test.
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Starts one before the server on that loopback port.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port for the proxy");
        let port = listener.local_addr().expect("the proxy's address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection that makes the `step`th request from now on (counted from 1). Once only.
    pub fn arm(&self, step: usize, cut: Cut) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.steps = 0;
        state.at = Some((step, cut));
    }

    /// Whether the cut is still to come.
    pub fn is_armed(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .at
            .is_some()
    }
}

/// A request is what a client sends after it has received an answer from the server: databases' protocols go to and fro.
async fn carry(mut client: TcpStream, mut server: TcpStream, state: Arc<Mutex<State>>) {
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut asking = false;
    let cut = |state: &mut State, which: Cut| {
        let now = state.at == Some((state.steps, which));
        if now {
            state.at = None;
        }
        now
    };
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(n @ 1..) = read else { return };
                if !std::mem::replace(&mut asking, true) {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.steps += 1;
                    if cut(&mut state, Cut::Request) {
                        return;
                    }
                    if cut(&mut state, Cut::Stranded) {
                        state.stranded.push(server);
                        return;
                    }
                }
                if server.write_all(&from_client[..n]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(n @ 1..) = read else { return };
                if std::mem::replace(&mut asking, false) && cut(&mut state.lock().unwrap_or_else(PoisonError::into_inner), Cut::Answer) {
                    return;
                }
                if client.write_all(&from_server[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
