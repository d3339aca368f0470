//! Which faults a run makes, in which order, and for how long: all from the seed.

use std::fmt;
use std::time::Duration;

use super::Plan;
use crate::Random;
use crate::relay::Trouble;

/// A server that the worker talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// The MariaDB that is read.
    Source,
    /// The MariaDB that is written to.
    MariaDb,
    /// The PostgreSQL that is written to.
    Postgres,
    /// Kafka's broker.
    Broker,
}

impl Server {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Source, Self::MariaDb, Self::Postgres, Self::Broker];

    /// The databases.
    pub(crate) const DATABASES: [Self; 3] = [Self::Source, Self::MariaDb, Self::Postgres];
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "the source MariaDB",
            Self::MariaDb => "the target MariaDB",
            Self::Postgres => "the target PostgreSQL",
            Self::Broker => "the broker",
        })
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the worker; it is started again after that time.
    KillWorker(Duration),
    /// The worker is frozen for that time (SIGSTOP, SIGCONT).
    FreezeWorker(Duration),
    /// SIGTERM to the worker, which has to exit on its own; it is started again.
    StopWorker,
    /// `kill -9` of a server, started again after that time.
    KillServer(Server, Duration),
    /// A database is shut down in good order and started again.
    RestartServer(Server),
    /// A server is frozen for that time (SIGSTOP, SIGCONT).
    StallServer(Server, Duration),
    /// All connections to a server end at once.
    CutAll(Server),
    /// The network to a server is disturbed for that time.
    Network(Server, Trouble, Duration),
    /// The answer to the nth COMMIT that a database gets in that time is lost; the connection ends, or stays silent.
    LoseCommit(Server, u8, bool, Duration),
    /// The disk of the metadata store is full for that time.
    FillDisk(Duration),
}

impl Fault {
    /// What it is, for counting.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::KillWorker(_) => "worker kill -9".to_owned(),
            Self::FreezeWorker(_) => "worker kill -STOP".to_owned(),
            Self::StopWorker => "worker SIGTERM".to_owned(),
            Self::KillServer(server, _) => format!("kill -9 of {server}"),
            Self::RestartServer(server) => format!("restart of {server}"),
            Self::StallServer(server, _) => format!("kill -STOP of {server}"),
            Self::CutAll(_) => "all connections to a server cut".to_owned(),
            Self::Network(_, Trouble::Cut { .. }, _) => {
                "connections cut after some bytes".to_owned()
            }
            Self::Network(_, Trouble::Hold, _) => "connections held".to_owned(),
            Self::Network(..) => "connections delayed".to_owned(),
            Self::LoseCommit(..) => "answer to COMMIT lost".to_owned(),
            Self::FillDisk(_) => "metadata store's disk full".to_owned(),
        }
    }

    /// How long something is frozen or away in it.
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Self::KillWorker(time)
            | Self::FreezeWorker(time)
            | Self::KillServer(_, time)
            | Self::StallServer(_, time)
            | Self::Network(_, _, time)
            | Self::FillDisk(time) => *time,
            Self::StopWorker | Self::RestartServer(_) | Self::CutAll(_) | Self::LoseCommit(..) => {
                Duration::ZERO
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Self::CutAll(server) => write!(f, ": {server}"),
            Self::Network(server, Trouble::Delay(late), time) => {
                write!(f, ": {server}, {late:.1?} a piece for {time:.1?}")
            }
            Self::Network(server, _, time) => write!(f, ": {server}, for {time:.1?}"),
            Self::LoseCommit(server, nth, silent, _) => {
                let then = if *silent { "silent" } else { "cut" };
                write!(f, ": {server}, the {nth}. from now, then {then}")
            }
            other if other.lasts().is_zero() => Ok(()),
            other => write!(f, ", {:.1?}", other.lasts()),
        }
    }
}

/// What the servers of a run allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Possible {
    /// Servers may be killed and stalled.
    pub servers: bool,
    /// The metadata store has a disk of its own.
    pub disk: bool,
}

/// One of five kinds of network faults; `time` draws a time between two numbers of milliseconds.
fn network_fault(
    kind: u64,
    random: &mut Random,
    time: impl Fn(&mut Random, u64, u64) -> Duration,
) -> Fault {
    let server = *random.pick(&Server::ALL);
    match kind {
        0 => Fault::CutAll(server),
        1 => {
            let cut = Trouble::Cut {
                least: 1 << 10,
                most: 1 << 20,
            };
            Fault::Network(server, cut, time(random, 2000, 6000))
        }
        2 => Fault::Network(server, Trouble::Hold, time(random, 1000, 20_000)),
        3 => {
            let late = Duration::from_millis(20 + random.below(180));
            Fault::Network(server, Trouble::Delay(late), time(random, 2000, 10_000))
        }
        _ => {
            // The source is read only: it commits nothing that matters.
            let target = *random.pick(&[Server::MariaDb, Server::Postgres]);
            let (nth, silent) = (1 + random.below(3) as u8, random.below(2) == 0);
            Fault::LoseCommit(target, nth, silent, Duration::from_secs(20))
        }
    }
}

/// The faults of a plan, in random order.
pub(crate) fn schedule(plan: &Plan, possible: &Possible, random: &mut Random) -> Vec<Fault> {
    let longest = plan.longest.as_millis() as u64;
    let time = |random: &mut Random, least: u64, most: u64| {
        let (least, most) = (least.min(longest), most.min(longest));
        Duration::from_millis(least + random.below(most - least + 1))
    };
    let every = |n: u64| plan.kills.div_ceil(n);
    let mut faults: Vec<Fault> = (0..plan.kills)
        .map(|_| Fault::KillWorker(time(random, 0, 1500)))
        .collect();
    faults.extend((0..every(5)).map(|_| Fault::FreezeWorker(time(random, 500, 15_000))));
    faults.extend((0..every(5)).map(|_| Fault::StopWorker));
    if plan.stall && possible.servers {
        faults.extend(
            (0..every(5)).map(|_| Fault::StallServer(Server::Broker, time(random, 5000, 30_000))),
        );
        faults.extend(
            (0..every(8)).map(|_| Fault::KillServer(Server::Broker, time(random, 0, 6000))),
        );
    }
    if plan.database && possible.servers {
        for server in Server::DATABASES {
            faults.extend((0..every(15)).map(|_| Fault::KillServer(server, time(random, 0, 6000))));
            faults.extend((0..every(25)).map(|_| Fault::RestartServer(server)));
            faults.extend(
                (0..every(15)).map(|_| Fault::StallServer(server, time(random, 2000, 20_000))),
            );
        }
    }
    if plan.cut {
        for n in 0..plan.kills {
            faults.push(network_fault(n % 5, random, time));
        }
    }
    if plan.disk && possible.disk {
        faults.extend((0..every(10)).map(|_| Fault::FillDisk(time(random, 2000, 15_000))));
    }
    for last in (1..faults.len()).rev() {
        faults.swap(last, random.below(last as u64 + 1) as usize);
    }
    faults
}
