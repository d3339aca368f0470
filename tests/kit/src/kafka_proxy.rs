//! A proxy before a broker that knows where Kafka's requests begin and end: it holds, delays, swallows or breaks off the
//! n-th request of a kind, or its answer, so that a test lets a client, a broker or the network die exactly there.
//!
//! A broker advertises the address to connect to, so each proxy belongs to a listener that advertises the proxy's
//! port ([`Kafka::proxied`]): clients that begin here stay here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Kafka;

/// Requests by their API keys (Kafka's protocol guide).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the protocol's")]
#[repr(i16)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    ListGroups = 16,
    ApiVersions = 18,
    CreateTopics = 19,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    EndTxn = 26,
    DeleteGroups = 42,
}

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It waits until [`Trap::release`]; what its connection sends later waits behind it.
    HoldRequest,
    /// The broker acts; the answer waits until [`Trap::release`].
    HoldAnswer,
    /// It is late by this time.
    Delay(Duration),
    /// Its connection breaks before the broker has it.
    CutRequest,
    /// The broker acts, and the connection breaks before the answer.
    CutAnswer,
    /// The broker acts, and the answer never comes; the connection stays.
    SwallowAnswer,
    /// Its connection breaks, and the broker gets it all the same: after [`Trap::release`].
    Strand,
}

/// Where a fault waits for its request.
pub struct Trap {
    api: Api,
    client: Option<String>,
    fault: Fault,
    every: bool,
    /// Requests that it lets pass first, and how often it has sprung.
    counts: Mutex<(usize, usize)>,
    sprung: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

impl Trap {
    /// How often it has sprung.
    pub fn sprung(&self) -> usize {
        *self.sprung.borrow()
    }

    /// Waits until it has sprung. Panics after `within`.
    pub async fn wait_sprung(&self, within: Duration) {
        let mut sprung = self.sprung.subscribe();
        let waited = tokio::time::timeout(within, sprung.wait_for(|times| *times > 0)).await;
        assert!(
            waited.is_ok(),
            "no {:?} request came within {within:?}",
            self.api
        );
    }

    /// Lets everything go that it holds, and springs no more.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    async fn wait_released(&self) {
        let mut released = self.released.subscribe();
        let _dropped_is_released = released.wait_for(|released| *released).await;
    }

    /// Whether it springs for this request.
    fn springs(&self, request: &Request) -> bool {
        let known = self
            .client
            .as_ref()
            .is_none_or(|client| request.client.contains(client.as_str()));
        if self.api as i16 != request.api || !known || *self.released.borrow() {
            return false;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (pass, sprung) = &mut *counts;
        if *pass > 0 || *sprung > 0 && !self.every {
            *pass = pass.saturating_sub(1);
            return false;
        }
        *sprung += 1;
        self.sprung.send_replace(*sprung);
        true
    }
}

/// What the proxy does with everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Bytes pass.
    Open,
    /// No byte passes and no connection ends: as with a frozen broker or a lost network.
    Silent,
    /// Connections are broken off, and new ones too.
    Cut,
}

/// What changes an answer.
type Tampering = Arc<dyn Fn(&mut Vec<u8>) + Send + Sync>;

struct State {
    traps: Vec<Arc<Trap>>,
    seen: BTreeMap<i16, usize>,
    tampering: Option<Tampering>,
}

#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    line: watch::Receiver<Line>,
}

/// A proxy before one broker. It ends with the runtime of the test.
pub struct KafkaProxy {
    port: u16,
    shared: Shared,
    line: watch::Sender<Line>,
}

impl KafkaProxy {
    /// Starts a proxy for a listener of the broker that has no other proxy.
    pub async fn start(kafka: &Kafka) -> Self {
        let (server, port) = kafka.proxied();
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("the port of the proxy");
        let (line, receiver) = watch::channel(Line::Open);
        let state = Arc::new(Mutex::new(State {
            traps: Vec::new(),
            seen: BTreeMap::new(),
            tampering: None,
        }));
        let shared = Shared {
            state,
            line: receiver,
        };
        tokio::spawn(accept(listener, server, shared.clone()));
        Self { port, shared, line }
    }

    /// `127.0.0.1:port`: what clients take for the broker.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Opens, silences or cuts the line.
    pub fn line(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Sets a trap for the `nth` request of that kind from now on (counted from 1), or for it and `every` later one; only
    /// of clients whose `client.id` has `client` in it, if that is given.
    pub fn trap(
        &self,
        api: Api,
        client: Option<&str>,
        nth: usize,
        every: bool,
        fault: Fault,
    ) -> Arc<Trap> {
        let trap = Arc::new(Trap {
            api,
            client: client.map(str::to_owned),
            fault,
            every,
            counts: Mutex::new((nth.saturating_sub(1), 0)),
            sprung: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        self.shared.lock().traps.push(Arc::clone(&trap));
        trap
    }

    /// Lets that change every answer from now on; the four bytes of its length come first and must stay right.
    pub fn tamper(&self, with: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) {
        self.shared.lock().tampering = Some(Arc::new(with));
    }

    /// How many requests of that kind have come in.
    pub fn seen(&self, api: Api) -> usize {
        self.shared
            .lock()
            .seen
            .get(&(api as i16))
            .copied()
            .unwrap_or(0)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trap(&self, request: &Request) -> Option<Arc<Trap>> {
        let mut state = self.lock();
        *state.seen.entry(request.api).or_default() += 1;
        state
            .traps
            .iter()
            .find(|trap| trap.springs(request))
            .cloned()
    }

    async fn passable(&mut self) {
        let _proxy_gone = self.line.wait_for(|line| *line != Line::Silent).await;
    }

    async fn cut(mut self) {
        if self.line.wait_for(|line| *line == Line::Cut).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn accept(listener: TcpListener, server: u16, shared: Shared) {
    while let Ok((client, _)) = listener.accept().await {
        if *shared.line.borrow() == Line::Cut {
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = carry(client, server, shared.clone()) => {}
                () = shared.cut() => {}
            }
        });
    }
}

/// The head of a request: API key, version, correlation id, client id.
struct Request {
    api: i16,
    correlation: i32,
    client: String,
}

impl Request {
    fn of(frame: &[u8]) -> Option<Self> {
        let (api, correlation) = (frame.get(4..6)?, frame.get(8..12)?);
        let length =
            usize::try_from(i16::from_be_bytes(frame.get(12..14)?.try_into().ok()?)).unwrap_or(0);
        let client = String::from_utf8_lossy(frame.get(14..14 + length)?).into_owned();
        let (api, correlation) = (
            i16::from_be_bytes(api.try_into().ok()?),
            i32::from_be_bytes(correlation.try_into().ok()?),
        );
        Some(Self {
            api,
            correlation,
            client,
        })
    }
}

/// A frame with the four bytes of its length.
async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).await.ok()?;
    let length = u32::from_be_bytes(frame.as_slice().try_into().ok()?);
    frame.resize(4 + usize::try_from(length).ok()?, 0);
    from.read_exact(frame.get_mut(4..)?).await.ok()?;
    Some(frame)
}

/// Traps whose answers are still to come, by correlation id.
type Awaited = Arc<Mutex<HashMap<i32, Arc<Trap>>>>;

async fn carry(client: TcpStream, server: TcpStream, shared: Shared) {
    let ((from_client, to_client), (from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let awaited = Awaited::default();
    let stranded = {
        let answers = down(from_server, to_client, shared.clone(), Arc::clone(&awaited));
        tokio::select! {
            stranded = up(from_client, &mut to_server, shared, awaited) => stranded,
            () = answers => None,
        }
    };
    // the client's connection has ended here
    if let Some((trap, frame)) = stranded {
        trap.wait_released().await;
        let _broker_gone = to_server.write_all(&frame).await;
        // the broker acts on it while the connection is there
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Carries requests until one of the connections ends. Returns one that is to go on alone.
async fn up(
    mut from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut shared: Shared,
    awaited: Awaited,
) -> Option<(Arc<Trap>, Vec<u8>)> {
    while let Some(frame) = frame(&mut from).await {
        shared.passable().await;
        if let Some(request) = Request::of(&frame)
            && let Some(trap) = shared.trap(&request)
        {
            match trap.fault {
                Fault::HoldRequest => trap.wait_released().await,
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::CutRequest => return None,
                Fault::Strand => return Some((trap, frame)),
                Fault::HoldAnswer | Fault::CutAnswer | Fault::SwallowAnswer => {
                    let mut awaited = awaited.lock().unwrap_or_else(PoisonError::into_inner);
                    awaited.insert(request.correlation, trap);
                }
            }
        }
        to.write_all(&frame).await.ok()?;
    }
    None
}

/// Carries answers until one of the connections ends.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut shared: Shared,
    awaited: Awaited,
) {
    while let Some(mut frame) = frame(&mut from).await {
        let correlation = frame
            .get(4..8)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes);
        let trap = correlation.and_then(|correlation| {
            awaited
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&correlation)
        });
        match trap.as_ref().map(|trap| trap.fault) {
            Some(Fault::CutAnswer) => return,
            Some(Fault::SwallowAnswer) => continue,
            Some(Fault::HoldAnswer) => trap.as_ref().expect("it is there").wait_released().await,
            _ => {}
        }
        shared.passable().await;
        let tampering = shared.lock().tampering.clone();
        if let Some(tampering) = tampering {
            tampering(&mut frame);
        }
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}
