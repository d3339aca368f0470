//! A relay before a database that can turn against its clients: it answers in the server's place with lies about sizes, or
//! damages the bytes that the server sends.

mod mysql;
mod postgres;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::Random;

/// The protocol of the false answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MariaDB and MySQL.
    MySql,
    /// PostgreSQL.
    Postgres,
}

/// What is said in the place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// More columns than fit any memory (MySQL), more than the message has (PostgreSQL).
    Columns,
    /// A message that does not end.
    EndlessMessage,
    /// As many columns as can be, with names of a megabyte.
    LongNames,
    /// A column's description that ends too early.
    CutShort,
    /// A text or value longer than its message.
    LongerThanItsMessage,
    /// A result whose rows do not end.
    EndlessRows,
    /// An error that quotes 15 megabytes.
    LongError,
    /// A statement with as many parameters and columns as can be announced (MySQL); settings without end (PostgreSQL).
    Announced,
    /// Nothing but zeros.
    Zeros,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Columns,
        Self::EndlessMessage,
        Self::LongNames,
        Self::CutShort,
        Self::LongerThanItsMessage,
        Self::EndlessRows,
        Self::LongError,
        Self::Announced,
        Self::Zeros,
    ];
}

/// What a relay does with what a server says.
#[derive(Clone, Debug)]
pub enum Mood {
    /// Passes it on.
    Honest,
    /// Tells a lie in the place of the answer to the given request of each connection, counted from 0, where 0 is what a
    /// server says before it is asked (MySQL) or to the first message (PostgreSQL).
    Lying(Lie, usize),
    /// Ends the connection of a client that sends these bytes, without passing them on.
    Severing(Vec<u8>),
    /// Passes it on with about one flipped, added or lost byte in so many, and ends connections now and then. One that was
    /// damaged and falls silent ends as well.
    Damaging(Random, u64),
}

/// A relay on a loopback port of its own. It ends with the runtime of the test.
pub struct Hostile {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    reported: Arc<AtomicUsize>,
}

/// How long a damaged conversation may be silent.
const SILENCE: Duration = Duration::from_secs(2);

/// Maximum duration of a false answer.
const LONGEST_LIE: Duration = Duration::from_secs(4);

impl Hostile {
    /// Starts one before the server on that loopback port.
    pub async fn start(protocol: Protocol, server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port for the relay");
        let port = listener.local_addr().expect("the relay's address").port();
        let mood = Arc::new(Mutex::new(Mood::Honest));
        let reported = Arc::new(AtomicUsize::new(0));
        let shared = (Arc::clone(&mood), Arc::clone(&reported));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                tokio::spawn(carry(protocol, client, server, shared.clone()));
            }
        });
        Self {
            port,
            mood,
            reported,
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many false answers it has sent, and how often it has damaged something.
    pub fn reported(&self) -> usize {
        self.reported.load(Ordering::Relaxed)
    }

    /// What it does from now on, also with connections that are open.
    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }
}

/// Carries one connection. A request is what a client sends after it has received an answer from the server.
async fn carry(
    protocol: Protocol,
    mut client: TcpStream,
    mut server: TcpStream,
    (mood, reported): (Arc<Mutex<Mood>>, Arc<AtomicUsize>),
) {
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let now = || mood.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (mut requests, mut asking, mut damaged) = (0, true, false);
    if let (Mood::Lying(lie, 0), Protocol::MySql) = (now(), protocol) {
        reported.fetch_add(1, Ordering::Relaxed);
        return tell(protocol, lie, &mut client).await;
    }
    loop {
        let silence = if damaged {
            SILENCE
        } else {
            Duration::from_secs(3600)
        };
        let step = async {
            tokio::select! {
                read = client.read(&mut from_client) => (true, read),
                read = server.read(&mut from_server) => (false, read),
            }
        };
        let Ok((of_client, Ok(n @ 1..))) = timeout(silence, step).await else {
            return;
        };
        if of_client {
            requests += usize::from(!std::mem::replace(&mut asking, true));
            match now() {
                // a connection that is open for long has made its request
                Mood::Lying(lie, at) if requests >= at => {
                    reported.fetch_add(1, Ordering::Relaxed);
                    return tell(protocol, lie, &mut client).await;
                }
                Mood::Severing(poison) if holds(&from_client[..n], &poison) => {
                    reported.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                _ if server.write_all(&from_client[..n]).await.is_err() => return,
                _ => {}
            }
            continue;
        }
        asking = false;
        let mut said = from_server[..n].to_vec();
        if let Mood::Damaging(random, rate) =
            &mut *mood.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let before = said.len();
            let hit = damage(random, *rate, &mut said);
            damaged |= hit;
            reported.fetch_add(usize::from(hit), Ordering::Relaxed);
            if hit && before % 5 == 0 && random.below(3) == 0 {
                return;
            }
        }
        if client.write_all(&said).await.is_err() {
            return;
        }
    }
}

fn holds(said: &[u8], poison: &[u8]) -> bool {
    said.windows(poison.len()).any(|window| window == poison)
}

/// Changes about one byte in `rate`. Returns whether it did.
fn damage(random: &mut Random, rate: u64, said: &mut Vec<u8>) -> bool {
    let hits = (0..said.len()).filter(|_| random.below(rate) == 0).count();
    for _ in 0..hits {
        let at = random.below(said.len().max(1) as u64) as usize;
        match random.below(3) {
            0 => said.insert(at.min(said.len()), random.bits() as u8),
            1 if at < said.len() => drop(said.remove(at)),
            _ if at < said.len() => said[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    hits > 0
}

/// Sends the false answer to its end, or until the client disconnects.
async fn tell(protocol: Protocol, lie: Lie, client: &mut TcpStream) {
    let parts: Box<dyn Iterator<Item = Vec<u8>> + Send> = match protocol {
        Protocol::MySql => mysql::parts(lie),
        Protocol::Postgres => postgres::parts(lie),
    };
    let end = Instant::now() + LONGEST_LIE;
    for part in parts {
        if Instant::now() > end || client.write_all(&part).await.is_err() {
            return;
        }
    }
    // what is still on its way is read before the end is noticed
    let _ = timeout(SILENCE, client.read(&mut [0; 1])).await;
}
