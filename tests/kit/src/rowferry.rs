//! The built `rowferry` binary as a child: start, REST, kill, freeze, restart.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::fail_points::FailPoints;
use crate::lab::{Scratch, free_port};
use crate::process::{Process, Program};
use crate::{Rest, target_folder};

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name for its log, and its worker group.
    pub name: String,
    /// Arguments, `serve` or `dev` first.
    pub args: Vec<String>,
    /// Worker keys by their Kafka Connect names; passed as `CONNECT_*` variables.
    pub keys: Vec<(String, String)>,
    /// Further environment variables.
    pub env: Vec<(String, String)>,
    /// REST port; a free one if 0.
    pub port: u16,
    /// Fail points from the start on, with their actions.
    pub fail_points: Vec<(String, String)>,
    /// Another program than the one under test, such as that of an older version.
    pub program: Option<PathBuf>,
}

impl Settings {
    /// `rowferry serve` on a broker, with a short flush interval and a group of its own.
    pub fn serve(name: &str, brokers: String) -> Self {
        let key = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let keys = vec![
            key("bootstrap.servers", &brokers),
            key("group.id", name),
            key("offset.storage.topic", &format!("{name}-offsets")),
            key("offset.flush.interval.ms", "1000"),
        ];
        Self {
            keys,
            ..Self::new(name, "serve")
        }
    }

    /// `rowferry dev`.
    pub fn dev(name: &str) -> Self {
        Self::new(name, "dev")
    }

    fn new(name: &str, verb: &str) -> Self {
        let (name, args) = (name.to_owned(), vec![verb.to_owned()]);
        Self {
            name,
            args,
            keys: Vec::new(),
            env: Vec::new(),
            port: 0,
            fail_points: Vec::new(),
            program: None,
        }
    }

    /// Another program than the one under test.
    pub fn of_program(mut self, program: Option<PathBuf>) -> Self {
        self.program = program;
        self
    }

    /// One more worker key.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// One more environment variable.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A fail point that is set from the start on, such as `("source.open", "return(hang)")`.
    pub fn failing_at(mut self, name: &str, actions: &str) -> Self {
        self.fail_points.push((name.to_owned(), actions.to_owned()));
        self
    }

    /// The port its REST API listens on.
    pub fn on_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }
}

/// A worker. What it stores survives [`Rowferry::kill`] and [`Rowferry::restart`].
pub struct Rowferry {
    program: Program,
    process: Mutex<Process>,
    rest: Rest,
    fail_points: FailPoints,
}

impl Rowferry {
    /// Starts a worker in a folder of its own and waits until its REST API answers.
    pub fn start(scratch: &Scratch, settings: Settings) -> Self {
        let (program, port, fail_points) = Self::prepare(scratch, settings);
        let process = Mutex::new(start_program(&program, port));
        Self {
            program,
            process,
            rest: Rest::new(&format!("http://127.0.0.1:{port}")),
            fail_points,
        }
    }

    /// Runs a worker that ends on its own; its exit code and all it has logged. Panics when it takes longer than
    /// `within`.
    pub fn run(scratch: &Scratch, settings: Settings, within: Duration) -> (Option<i32>, String) {
        let (program, ..) = Self::prepare(scratch, settings);
        let code = program.start().wait_for_end(within);
        let log = std::fs::read(&program.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let code = code.unwrap_or_else(|| panic!("{} still runs:\n{log}", program.name));
        (code, log)
    }

    /// How it is started, on which port, and its fail points.
    fn prepare(scratch: &Scratch, settings: Settings) -> (Program, u16, FailPoints) {
        let port = if settings.port == 0 {
            free_port()
        } else {
            settings.port
        };
        let folder = scratch.folder(&settings.name, None);
        let mut env: Vec<(String, String)> = settings
            .keys
            .iter()
            .map(|(key, value)| (variable(key), value.clone()))
            .collect();
        env.extend(settings.env);
        env.push((variable("listeners"), format!("http://127.0.0.1:{port}")));
        // files of tests lie anywhere in the scratch folder
        for files in ["sqlite.allowed.paths", "file.allowed.paths"].map(variable) {
            if !env.iter().any(|(name, _)| *name == files) {
                env.push((files, scratch.path().display().to_string()));
            }
        }
        let points = folder.join("fail-points");
        env.push((
            "ROWFERRY_FAIL_POINTS".to_owned(),
            points.display().to_string(),
        ));
        let fail_points = FailPoints::new(points, settings.fail_points);
        let program = settings.program.unwrap_or_else(binary);
        let mut args = vec![program.display().to_string()];
        args.extend(settings.args);
        let log = scratch.log(&settings.name);
        let program = Program {
            name: settings.name,
            args,
            env,
            folder,
            user: None,
            log,
        };
        (program, port, fail_points)
    }

    /// Its exit code once it has ended on its own. Kills it and panics when that takes longer than `within`.
    pub fn ended(&self, within: Duration) -> Option<i32> {
        let code = self.process().wait_for_end(within);
        code.unwrap_or_else(|| panic!("{} still runs:\n{}", self.program.name, self.log()))
    }

    /// Its REST API.
    pub fn rest(&self) -> &Rest {
        &self.rest
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().expect("lock of the worker")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.process().is_running()
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// SIGTERM, and waits for its end; its exit code.
    pub fn stop(&self, within: Duration) -> Option<i32> {
        self.process().terminate(within)
    }

    /// SIGTERM, and waits for its end; its exit code. None, and it has been killed, when it takes longer than `within`.
    pub fn try_stop(&self, within: Duration) -> Option<Option<i32>> {
        self.process().try_terminate(within)
    }

    /// SIGSTOP: it is frozen until [`Self::thaw`].
    pub fn freeze(&self) {
        self.process().signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process().signal("CONT");
    }

    /// Sends it a signal by name, such as `HUP`.
    pub fn signal(&self, signal: &str) {
        self.process().signal(signal);
    }

    /// Starts it again with the same settings, store and port, after [`Self::kill`] or [`Self::stop`].
    pub fn restart(&self) {
        let port = self
            .rest
            .base()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        self.fail_points.forget_state();
        *self.process() = start_program(&self.program, port);
    }

    /// Sets a fail point, now or for the next start: `("source.poll", "return(hang)")`.
    pub fn fail_at(&self, name: &str, actions: &str) {
        self.fail_points.set(name, Some(actions), self.is_running());
    }

    /// Takes a fail point away: what hangs there goes on.
    pub fn go_on_at(&self, name: &str) {
        self.fail_points.set(name, None, self.is_running());
    }

    /// How often a fail point that was set has been reached since the worker was started.
    pub fn reached(&self, name: &str) -> u64 {
        self.fail_points.hits(name)
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.program.log).unwrap_or_default()).into_owned()
    }
}

/// `offset.flush.interval.ms` becomes `CONNECT_OFFSET_FLUSH_INTERVAL_MS`.
fn variable(key: &str) -> String {
    format!("CONNECT_{}", key.replace('.', "_").to_uppercase())
}

fn start_program(program: &Program, port: u16) -> Process {
    let process = program.start();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    process.ready(Duration::from_secs(60), || answers(address));
    process
}

/// Whether `GET /` is answered, if only by asking who is there.
fn answers(address: std::net::SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))
    else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let sent = stream.write_all(request.as_bytes());
    sent.is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && ["HTTP/1.1 200", "HTTP/1.1 401"]
            .iter()
            .any(|up| answer.starts_with(up))
}

/// The binary under test: `ROWFERRY_BIN`, what cargo built for this test run, or the one in the target folder.
fn binary() -> PathBuf {
    let named =
        std::env::var_os("ROWFERRY_BIN").or_else(|| std::env::var_os("CARGO_BIN_EXE_rowferry"));
    let binary = named.map_or_else(|| target_folder().join("release/rowferry"), PathBuf::from);
    assert!(
        binary.is_file(),
        "{} does not exist: run cargo build --release",
        binary.display()
    );
    binary
}
