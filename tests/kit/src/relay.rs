//! A TCP relay before a server, in which the faults of a network can be made: connections that end after so many bytes,
//! that carry nothing, that carry everything late, and answers that get lost.
//!
//! It knows bytes alone. [`crate::proxy`] counts the steps of one conversation instead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Random;

/// What is wrong with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Each connection ends once it has carried a number of bytes between these two, and so does the next one.
    Cut {
        /// Fewest bytes.
        least: u64,
        /// Most bytes.
        most: u64,
    },
    /// Nothing passes either way; connections stay open, and new ones are taken.
    Hold,
    /// Each piece of up to 64 KiB is late by that much.
    Delay(Duration),
}

/// An answer to be lost: the one to the `nth` request from now on that holds `text`.
#[derive(Clone, Debug)]
struct Loss {
    text: Vec<u8>,
    left: usize,
    then_silent: bool,
}

struct State {
    server: u16,
    /// The disturbance, and a number that is unique to it.
    trouble: watch::Sender<(u64, Trouble)>,
    /// Connections made before it was last raised end.
    cut: watch::Sender<u64>,
    loss: Mutex<Option<Loss>>,
    carried: AtomicU64,
    lost: AtomicU64,
    connections: AtomicU64,
    seed: u64,
}

/// A relay on a loopback port of its own. It ends with the runtime that it was started in.
#[derive(Clone)]
pub struct Relay {
    port: u16,
    state: Arc<State>,
}

impl Relay {
    /// Starts one before the server on that loopback port. The seed chooses where connections are cut.
    pub async fn start(server: u16, seed: u64) -> Self {
        Self::start_on(0, server, seed).await
    }

    /// The same on that port; a free one if 0.
    pub async fn start_on(port: u16, server: u16, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a port for the relay");
        let port = listener.local_addr().expect("the relay's address").port();
        let (trouble, cut) = (
            watch::Sender::new((0, Trouble::None)),
            watch::Sender::new(0),
        );
        let (carried, lost, connections) = Default::default();
        let state = Arc::new(State {
            server,
            trouble,
            cut,
            loss: Mutex::new(None),
            carried,
            lost,
            connections,
            seed,
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::spawn(Connection::new(&shared, number).carry(client));
            }
        });
        Self { port, state }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts that disturbance, for connections that are open and for new ones, until the next call.
    pub fn set(&self, trouble: Trouble) {
        self.state.trouble.send_modify(|(number, now)| {
            *number += 1;
            *now = trouble;
        });
    }

    /// Ends all connections now.
    pub fn cut(&self) {
        self.state.cut.send_modify(|number| *number += 1);
    }

    /// Loses the answer to the `nth` request (counted from 1) that holds `text`, whose letters may be of either case.
    /// The connection then ends, or stays open without a word if `then_silent`. Once only.
    pub fn lose_answer(&self, text: &str, nth: usize, then_silent: bool) {
        let loss = Loss {
            text: text.to_ascii_lowercase().into_bytes(),
            left: nth,
            then_silent,
        };
        *self
            .state
            .loss
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(loss);
    }

    /// Takes back [`Self::lose_answer`]; whether the answer had been lost.
    pub fn lose_no_answer(&self) -> bool {
        self.state
            .loss
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .is_none()
    }

    /// How many answers have been lost.
    pub fn answers_lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// How many connections clients have made so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Bytes carried so far, both ways.
    pub fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::Relaxed)
    }
}

/// What both ways of a connection share.
struct Connection {
    state: Arc<State>,
    number: u64,
    /// The disturbance by its number, and how many bytes may pass in it.
    budget: Mutex<(u64, u64)>,
    /// The next answer is to be lost.
    losing: AtomicBool,
    silent: AtomicBool,
}

/// Whether a piece goes on its way.
#[derive(PartialEq)]
enum Fate {
    Pass,
    /// So much of it does, then the connection ends.
    Cut(usize),
}

impl Connection {
    fn new(state: &Arc<State>, number: u64) -> Self {
        let (losing, silent) = Default::default();
        Self {
            state: Arc::clone(state),
            number,
            budget: Mutex::new((0, u64::MAX)),
            losing,
            silent,
        }
    }

    async fn carry(self, client: TcpStream) {
        let mut cut = self.state.cut.subscribe();
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.state.server)).await else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = self.pump(from_client, to_server, true) => {}
            () = self.pump(from_server, to_client, false) => {}
            _ = cut.changed() => {}
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_request: bool,
    ) {
        let mut buffer = vec![0; 1 << 16];
        let mut trouble = self.state.trouble.subscribe();
        loop {
            let Ok(n @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            if is_request {
                self.look_at(&buffer[..n]);
            } else if self.silent.load(Ordering::Relaxed)
                || self.losing.swap(false, Ordering::Relaxed)
            {
                self.state.lost.fetch_add(1, Ordering::Relaxed);
                if self.silent.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                return;
            }
            let pass = match self.fate(&mut trouble, n).await {
                Fate::Pass => n,
                Fate::Cut(pass) => pass,
            };
            if to.write_all(&buffer[..pass]).await.is_err() || pass < n {
                return;
            }
            self.state.carried.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    /// Notes whether the answer to this request is the one to be lost.
    fn look_at(&self, request: &[u8]) {
        let mut loss = self
            .state
            .loss
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(wanted) = loss.as_mut() else { return };
        if !request
            .windows(wanted.text.len())
            .any(|part| part.eq_ignore_ascii_case(&wanted.text))
        {
            return;
        }
        wanted.left = wanted.left.saturating_sub(1);
        if wanted.left == 0 {
            self.silent.store(wanted.then_silent, Ordering::Relaxed);
            self.losing.store(true, Ordering::Relaxed);
            *loss = None;
        }
    }

    async fn fate(&self, trouble: &mut watch::Receiver<(u64, Trouble)>, piece: usize) -> Fate {
        loop {
            let (number, now) = *trouble.borrow_and_update();
            match now {
                Trouble::None => return Fate::Pass,
                Trouble::Delay(late) => {
                    tokio::time::sleep(late).await;
                    return Fate::Pass;
                }
                Trouble::Cut { least, most } => return self.spend(number, least, most, piece),
                Trouble::Hold if trouble.changed().await.is_err() => return Fate::Cut(0),
                Trouble::Hold => {}
            }
        }
    }

    /// Takes a piece from the bytes that this connection may carry in the disturbance of that number.
    fn spend(&self, number: u64, least: u64, most: u64, piece: usize) -> Fate {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.0 != number {
            let mut random = Random::from_seed(self.state.seed ^ number << 32 ^ self.number);
            *budget = (number, least + random.below(most.saturating_sub(least) + 1));
        }
        let piece = piece as u64;
        if piece <= budget.1 {
            budget.1 -= piece;
            return Fate::Pass;
        }
        Fate::Cut(usize::try_from(budget.1).unwrap_or(usize::MAX))
    }
}
