//! A private PostgreSQL server: user `postgres`, password `secret`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::lab::{Scratch, free_port};
use crate::process::{
    Process, Program, cpu_of, cpu_with_ended_children, find, is_root, signal, tail,
};

/// A running server. Its data survives [`Postgres::kill`] and [`Postgres::restart`].
pub struct Postgres {
    port: u16,
    program: Program,
    process: Mutex<Process>,
}

/// Settings of the tests' servers.
fn settings(durable: bool) -> [&'static str; 7] {
    [
        // Without fsync the data survives the death of the process, though not of the machine.
        if durable { "fsync=on" } else { "fsync=off" },
        "timezone=UTC",
        "max_connections=300",
        "max_prepared_transactions=20",
        "wal_level=logical",
        "max_replication_slots=60",
        "max_wal_senders=60",
    ]
}

impl Postgres {
    /// The account all tests use.
    pub const USER: &str = "postgres";
    /// Its password; any is accepted.
    pub const PASSWORD: &str = "secret";

    /// Makes a data folder and starts a server on a free port. Where this process is root the server runs as `postgres`.
    pub fn start(scratch: &Scratch, name: &str) -> Self {
        Self::start_on(scratch, name, free_port())
    }

    /// The same on a given port.
    pub fn start_on(scratch: &Scratch, name: &str, port: u16) -> Self {
        Self::start_with(scratch, name, port, None, false)
    }

    /// One on a free port that syncs its log to the disk at each commit, as people run it.
    pub fn start_durable(scratch: &Scratch, name: &str) -> Self {
        Self::start_with(scratch, name, free_port(), None, true)
    }

    /// One on a free port that shows the certificate which [`certificate`](crate::certificate) made in that folder.
    pub fn start_with_tls(scratch: &Scratch, name: &str, certificate: &Path) -> Self {
        Self::start_with(scratch, name, free_port(), Some(certificate), false)
    }

    /// The command that makes the data folder.
    fn install(data: &str) -> Vec<String> {
        let initdb = server_program("initdb").display().to_string();
        let options = [
            "-A",
            "trust",
            "-U",
            Self::USER,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "-D",
            data,
        ];
        std::iter::once(initdb.as_str())
            .chain(options)
            .map(str::to_owned)
            .collect()
    }

    fn start_with(
        scratch: &Scratch,
        name: &str,
        port: u16,
        certificate: Option<&Path>,
        durable: bool,
    ) -> Self {
        let user = is_root().then(|| "postgres".to_owned());
        let user_name = user.clone();
        let folder = scratch.folder(name, user.as_deref());
        let data = folder.join("data").display().to_string();
        let base = Program {
            name: name.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            folder: folder.clone(),
            user,
            log: scratch.log(name),
        };
        Program {
            args: Self::install(&data),
            ..base.clone()
        }
        .run();
        let server = server_program("postgres").display().to_string();
        let port_text = port.to_string();
        let sockets = folder.display().to_string();
        let mut args = vec![
            server.as_str(),
            "-D",
            &data,
            "-p",
            &port_text,
            "-k",
            &sockets,
            "-h",
            "127.0.0.1",
        ];
        let settings = settings(durable);
        let files = certificate.map(|from| own_copies(from, &folder, user_name.as_deref()));
        let tls = files.map(|[cert, key]| {
            [
                "ssl=on".to_owned(),
                format!("ssl_cert_file={cert}"),
                format!("ssl_key_file={key}"),
            ]
        });
        let tls = tls.iter().flatten().map(String::as_str);
        for setting in settings.into_iter().chain(tls) {
            args.extend(["-c", setting]);
        }
        let program = Program {
            args: args.into_iter().map(str::to_owned).collect(),
            ..base
        };
        let process = Mutex::new(start_program(&program, port));
        Self {
            port,
            program,
            process,
        }
    }

    /// Its loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// CPU time of the server and of the processes that it has made for its clients.
    pub fn cpu(&self) -> Duration {
        let process = self.process.lock().expect("lock of the server");
        let children = process.children();
        // of one that ends meanwhile the server has the time
        let running: Duration = children.into_iter().filter_map(cpu_of).sum();
        running + cpu_with_ended_children(process.pid())
    }

    /// `jdbc:postgresql://…` of a database.
    pub fn jdbc_url(&self, database: &str) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/{database}", self.port)
    }

    /// A connection to a database that exists.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.try_connect(database)
            .await
            .unwrap_or_else(|error| panic!("connect to {database}: {error}"))
    }

    /// The same, `Err` while the server is down.
    pub async fn try_connect(&self, database: &str) -> sqlx::Result<PgConnection> {
        let (user, password) = (Self::USER, Self::PASSWORD);
        PgConnection::connect(&format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        ))
        .await
    }

    /// Makes an empty database and connects to it.
    pub async fn create_database(&self, database: &str) -> PgConnection {
        let mut connection = self.connect("postgres").await;
        let sql = format!("CREATE DATABASE \"{database}\"");
        connection
            .execute(AssertSqlSafe(sql))
            .await
            .unwrap_or_else(|error| panic!("create {database}: {error}"));
        self.connect(database).await
    }

    /// `kill -9` of the server and of the processes that it has made for its clients.
    pub fn kill(&self) {
        let process = self.process.lock().expect("lock of the server");
        // Frozen, it makes no further ones meanwhile.
        signal(process.pid(), "STOP");
        let children = process.children();
        process.kill();
        children.iter().for_each(|&child| signal(child, "KILL"));
    }

    /// SIGSTOP: it is frozen with all its processes until [`Self::thaw`].
    pub fn freeze(&self) {
        let process = self.process.lock().expect("lock of the server");
        process.signal("STOP");
        process
            .children()
            .iter()
            .for_each(|&child| signal(child, "STOP"));
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        let process = self.process.lock().expect("lock of the server");
        process
            .children()
            .iter()
            .for_each(|&child| signal(child, "CONT"));
        // It may have ended: this is called for each server of a test that fails.
        signal(process.pid(), "CONT");
    }

    /// Clean shutdown, in PostgreSQL's mode "fast": clients are sent away.
    pub fn stop(&self) {
        let process = self.process.lock().expect("lock of the server");
        process.signal("INT");
        process.wait_for_end(Duration::from_secs(60));
    }

    /// Starts it again on the same data and port.
    pub fn restart(&self) {
        *self.process.lock().expect("lock of the server") = start_program(&self.program, self.port);
    }
}

/// The rows of statements that must succeed, every cell as the server's text.
pub async fn texts(connection: &mut PgConnection, sql: &str) -> Vec<Vec<Option<String>>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await;
    let rows: Vec<PgRow> = rows.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    let cell = |row: &PgRow, n: usize| row.try_get_unchecked::<Option<String>, _>(n).expect("text");
    rows.iter()
        .map(|row| (0..row.len()).map(|n| cell(row, n)).collect())
        .collect()
}

/// Copies of a certificate and its key that the server's account alone can read, as it demands.
fn own_copies(from: &Path, folder: &Path, user: Option<&str>) -> [String; 2] {
    ["cert.pem", "key.pem"].map(|name| {
        let path = folder.join(name);
        std::fs::copy(from.join(name), &path).expect("copy the certificate");
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, own).expect("hide the key");
        if let Some(user) = user {
            let status = std::process::Command::new("chown")
                .arg(user)
                .arg(&path)
                .status()
                .expect("run chown");
            assert!(status.success(), "chown {user} {} failed", path.display());
        }
        path.display().to_string()
    })
}

/// A server that a failed test leaves frozen could not end.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
    }
}

fn start_program(program: &Program, port: u16) -> Process {
    let mut probe = std::process::Command::new(server_program("pg_isready"));
    probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let process = program.start();
        let mut in_use = false;
        process.ready(Duration::from_secs(60), || {
            // Processes of a server that was killed hold its shared memory until they have ended.
            in_use = !process.is_running()
                && Instant::now() < end
                && tail(process.log()).contains("pre-existing shared memory block");
            in_use || probe.status().is_ok_and(|status| status.success())
        });
        if !in_use {
            return process;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A program of the newest installed version; Debian keeps them out of the path.
fn server_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path()).collect();
    versions.sort_by_key(|path| version_number(path));
    let programs = versions
        .iter()
        .rev()
        .map(|version| version.join("bin").join(name));
    programs
        .into_iter()
        .find(|program| program.is_file())
        .unwrap_or_else(|| find(name))
}

fn version_number(path: &Path) -> u32 {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok())
        .unwrap_or(0)
}
