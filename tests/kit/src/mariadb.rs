//! A private MariaDB server: user `root`, password `secret`, one database for each test.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::lab::{Scratch, free_port};
use crate::process::{Process, Program, find, is_root};

/// A running server. Its data survives [`MariaDb::kill`] and [`MariaDb::restart`].
pub struct MariaDb {
    port: u16,
    program: Program,
    process: Mutex<Process>,
}

impl MariaDb {
    /// The account all tests use.
    pub const USER: &str = "root";
    /// Its password.
    pub const PASSWORD: &str = "secret";

    /// Makes a data folder and starts a server on a free port.
    pub fn start(scratch: &Scratch, name: &str) -> Self {
        Self::start_on(scratch, name, free_port())
    }

    /// The same on a given port.
    pub fn start_on(scratch: &Scratch, name: &str, port: u16) -> Self {
        Self::start_with(scratch, name, port, None, &[])
    }

    /// The same on a system whose zone that is, and so the server's: as the variable `TZ` has it.
    pub fn start_in_zone(scratch: &Scratch, name: &str, zone: &str) -> Self {
        Self::start_with(scratch, name, free_port(), Some(zone), &[])
    }

    /// The same as people run it, which costs more: with a binary log of rows, a disk sync at each commit, and the
    /// performance schema.
    pub fn start_durable(scratch: &Scratch, name: &str) -> Self {
        const DURABLE: [&str; 5] = [
            "--log-bin",
            "--server-id=1",
            "--binlog-format=ROW",
            "--innodb-flush-log-at-trx-commit=1",
            "--performance-schema=ON",
        ];
        Self::start_with_options(scratch, name, &DURABLE)
    }

    /// The same on a free port with options of the server besides.
    pub fn start_with_options(scratch: &Scratch, name: &str, options: &[&str]) -> Self {
        Self::start_with(scratch, name, free_port(), None, options)
    }

    fn start_with(
        scratch: &Scratch,
        name: &str,
        port: u16,
        zone: Option<&str>,
        options: &[&str],
    ) -> Self {
        let user = is_root().then(|| "mysql".to_owned());
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
        let install = [
            find("mariadb-install-db").display().to_string(),
            "--no-defaults".to_owned(),
            format!("--datadir={data}"),
            format!("--tmpdir={}", folder.display()),
            "--auth-root-authentication-method=normal".to_owned(),
            "--skip-test-db".to_owned(),
            "--innodb-log-file-size=64M".to_owned(),
        ];
        Program {
            args: install.to_vec(),
            ..base.clone()
        }
        .run();
        let accounts = folder.join("accounts.sql");
        std::fs::write(&accounts, accounts_sql()).expect("write the accounts file");
        let mut program = Program {
            args: server_args(&folder, &data, port),
            ..base
        };
        program
            .args
            .extend(options.iter().map(|option| (*option).to_owned()));
        if let Some(zone) = zone {
            program.args.push("--default-time-zone=SYSTEM".to_owned());
            program.env.push(("TZ".to_owned(), zone.to_owned()));
        }
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

    /// CPU time of the server so far.
    pub fn cpu(&self) -> Duration {
        self.process.lock().expect("lock of the server").usage().cpu
    }

    /// `jdbc:mysql://…` of a database.
    pub fn jdbc_url(&self, database: &str) -> String {
        format!("jdbc:mysql://127.0.0.1:{}/{database}", self.port)
    }

    /// A connection to a database that exists.
    pub async fn connect(&self, database: &str) -> MySqlConnection {
        self.try_connect(database)
            .await
            .unwrap_or_else(|error| panic!("connect to {database}: {error}"))
    }

    /// The same, `Err` while the server is down.
    pub async fn try_connect(&self, database: &str) -> sqlx::Result<MySqlConnection> {
        let (user, password) = (Self::USER, Self::PASSWORD);
        MySqlConnection::connect(&format!(
            "mysql://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        ))
        .await
    }

    /// Makes an empty utf8mb4 database and connects to it.
    pub async fn create_database(&self, database: &str) -> MySqlConnection {
        let mut connection = self.connect("mysql").await;
        run(
            &mut connection,
            &format!("CREATE DATABASE `{database}` CHARACTER SET utf8mb4"),
        )
        .await;
        self.connect(database).await
    }

    /// SIGSTOP: it is frozen until [`Self::thaw`].
    pub fn freeze(&self) {
        self.process
            .lock()
            .expect("lock of the server")
            .signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process
            .lock()
            .expect("lock of the server")
            .signal("CONT");
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.process.lock().expect("lock of the server").kill();
    }

    /// Starts it again on the same data and port, after [`Self::kill`] or [`Self::stop`].
    pub fn restart(&self) {
        *self.process.lock().expect("lock of the server") = start_program(&self.program, self.port);
    }

    /// Clean shutdown.
    pub fn stop(&self) {
        self.process
            .lock()
            .expect("lock of the server")
            .terminate(Duration::from_secs(60));
    }
}

/// Sends SQL statements, separated by `;`, that must succeed.
pub async fn run(connection: &mut MySqlConnection, sql: &str) {
    let sent = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    sent.unwrap_or_else(|error| panic!("{error} in: {}", sql.get(..2000).unwrap_or(sql)));
}

/// The rows of a query that must succeed.
pub async fn rows(connection: &mut MySqlConnection, sql: &str) -> Vec<MySqlRow> {
    let fetched = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await;
    fetched.unwrap_or_else(|error| panic!("{error} in: {sql}"))
}

/// The rows of a query that must succeed, every cell as the server's text.
pub async fn texts(connection: &mut MySqlConnection, sql: &str) -> Vec<Vec<Option<String>>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await;
    let rows: Vec<MySqlRow> = rows.unwrap_or_else(|error| panic!("{error} in: {sql}"));
    let cell = |row: &MySqlRow, n: usize| {
        let bytes: Option<Vec<u8>> = row.try_get_unchecked(n).expect("bytes");
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|n| cell(row, n)).collect())
        .collect()
}

/// The single number a query gives; 0 while a table of it does not exist.
pub async fn count(connection: &mut MySqlConnection, sql: &str) -> i64 {
    let fetched = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await;
    match fetched {
        Ok(row) => row.get(0),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42S02") => 0,
        Err(error) => panic!("{error} in: {sql}"),
    }
}

fn start_program(program: &Program, port: u16) -> Process {
    let process = program.start();
    process.ready(Duration::from_secs(60), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    process
}

fn accounts_sql() -> String {
    let (user, password) = (MariaDb::USER, MariaDb::PASSWORD);
    ["127.0.0.1", "localhost"]
        .map(|host| {
            format!(
                "CREATE USER IF NOT EXISTS '{user}'@'{host}';\nALTER USER '{user}'@'{host}' IDENTIFIED BY '{password}';\n\
                 GRANT ALL ON *.* TO '{user}'@'{host}' WITH GRANT OPTION;\n"
            )
        })
        .concat()
}

/// Settings of the server. A log flush without a disk sync is enough to survive the death of the process.
fn server_args(folder: &Path, data: &str, port: u16) -> Vec<String> {
    let mut args = vec![
        find("mariadbd").display().to_string(),
        "--no-defaults".to_owned(),
        format!("--datadir={data}"),
        // A server that starts removes other servers' temporary tables from a shared folder.
        format!("--tmpdir={}", folder.display()),
        format!("--socket={}", socket(folder).display()),
        format!("--port={port}"),
        format!("--init-file={}", folder.join("accounts.sql").display()),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--default-time-zone=+00:00",
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-buffer-pool-size=256M",
        "--innodb-log-file-size=64M",
        "--max-connections=400",
        "--max-allowed-packet=64M",
        "--local-infile=1",
        "--performance-schema=OFF",
        "--skip-log-bin",
    ];
    args.extend(fixed.map(str::to_owned));
    args
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("mariadb.sock")
}
