//! The servers of one test binary, started when first asked for, and the folder their data lives in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Kafka, MariaDb, Postgres, Rowferry, Settings, target_folder};

/// Reads from a pipe that closes when this process ends, however it ends; by then the servers have been killed. Not so the
/// processes that a server has made for its clients: a frozen one (SIGSTOP) does not see that the server is gone.
/// Each works in its data folder, by which it is found, and SIGKILL ends frozen processes as well.
const REMOVER: &str = r#"cat
sleep 0.3
for turn in 1 2; do
  for process in /proc/[0-9]*; do
    case "$(readlink "$process/cwd" 2>/dev/null)" in
      "$0"/*) kill -s KILL "${process#/proc/}" 2>/dev/null ;;
    esac
  done
  rm -rf -- "$0" && exit
  sleep 1
done"#;

/// A folder for data that must be readable by the servers' accounts; removed when this process ends, however it ends.
pub struct Scratch {
    path: PathBuf,
    logs: PathBuf,
    _remover: Child,
}

impl Scratch {
    /// A new folder; logs of what is started go to `target/kit-logs/<name>`.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rowferry-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("create the data folder");
        let logs = target_folder().join("kit-logs").join(name);
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).expect("create the log folder");
        let mut remover = Command::new("sh");
        remover.args(["-c", REMOVER]).arg(&path);
        remover
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut remover, 0);
        Self {
            path,
            logs,
            _remover: remover.spawn().expect("start sh"),
        }
    }

    /// A new folder inside, of that account where this process is root.
    pub(crate) fn folder(&self, name: &str, user: Option<&str>) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).expect("create a data folder");
        if let Some(user) = user {
            let status = Command::new("chown")
                .arg(user)
                .arg(&path)
                .status()
                .expect("run chown");
            assert!(status.success(), "chown {user} {} failed", path.display());
        }
        path
    }

    /// Where the log of `name` goes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Shared servers. Each is started by the first that asks.
pub struct Lab {
    scratch: Scratch,
    durable: bool,
    mariadb: OnceLock<MariaDb>,
    postgres: OnceLock<Postgres>,
    kafka: OnceLock<Kafka>,
    worker: OnceLock<Rowferry>,
}

impl Lab {
    /// A lab with nothing started yet.
    pub fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let (mariadb, postgres, kafka, worker) = Default::default();
        Self {
            scratch,
            durable: false,
            mariadb,
            postgres,
            kafka,
            worker,
        }
    }

    /// A lab whose databases are durable, as people run them: slower, and only so their speed means something.
    pub fn durable(name: &str) -> Self {
        Self {
            durable: true,
            ..Self::new(name)
        }
    }

    /// Where data of servers lives.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The shared MariaDB.
    pub fn mariadb(&self) -> &MariaDb {
        let start = if self.durable {
            MariaDb::start_durable
        } else {
            MariaDb::start
        };
        self.mariadb.get_or_init(|| start(&self.scratch, "mariadb"))
    }

    /// The shared PostgreSQL.
    pub fn postgres(&self) -> &Postgres {
        let start = if self.durable {
            Postgres::start_durable
        } else {
            Postgres::start
        };
        self.postgres
            .get_or_init(|| start(&self.scratch, "postgres"))
    }

    /// The shared broker.
    pub fn kafka(&self) -> &Kafka {
        self.kafka
            .get_or_init(|| Kafka::start(&self.scratch, "kafka"))
    }

    /// The shared worker, on the shared broker.
    pub fn worker(&self) -> &Rowferry {
        self.worker.get_or_init(|| self.own_worker("worker"))
    }

    /// A worker of the caller's own, on the shared broker: for tests that kill it or set it up differently.
    pub fn own_worker(&self, name: &str) -> Rowferry {
        Rowferry::start(&self.scratch, Settings::serve(name, self.kafka().brokers()))
    }
}

/// A name that no other test of this run uses: the given one and a number.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A loopback port nobody listens on, below the range from which systems give ports to clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(37);
    for _ in 0..10_000 {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(offset).expect("below 12,000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 32000");
}
