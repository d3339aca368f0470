//! Child processes that end with this one, and signals to them.
//!
//! Linux ends a child when the thread that started it ends (`PR_SET_PDEATHSIG`, set by `setpriv`), so one thread that
//! lives as long as the process starts them all.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How to start a program: arguments, environment, folder, account.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name for messages and of the log file.
    pub name: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment beside the inherited one.
    pub env: Vec<(String, String)>,
    /// Working folder.
    pub folder: PathBuf,
    /// Account to run under; needs root.
    pub user: Option<String>,
    /// Its standard output and error are appended here.
    pub log: PathBuf,
}

impl Program {
    /// The command line: ends with this process, under the wanted account.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.args)
            .current_dir(&self.folder);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).process_group(0);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("open the log file");
        command
            .stdout(log.try_clone().expect("second handle of the log file"))
            .stderr(log);
        command
    }

    /// Starts it and returns at once.
    pub fn start(&self) -> Process {
        let child = spawn(self.command())
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.name));
        Process {
            child: Mutex::new(child),
            program: self.clone(),
        }
    }

    /// Runs it to its end. Panics unless it succeeds, showing the end of its log.
    pub fn run(&self) {
        let process = self.start();
        let status = process
            .child
            .lock()
            .expect("lock of the child")
            .wait()
            .expect("wait for the child");
        assert!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            tail(&self.log)
        );
    }
}

/// A running child.
pub struct Process {
    child: Mutex<Child>,
    program: Program,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.lock().expect("lock of the child").id()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(
            self.child.lock().expect("lock of the child").try_wait(),
            Ok(None)
        )
    }

    /// Sends a signal by name, such as `STOP`, `CONT` or `TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("run kill");
        assert!(
            status.success(),
            "kill -s {signal} of {} failed",
            self.program.name
        );
    }

    /// The ids of its children.
    pub(crate) fn children(&self) -> Vec<u32> {
        let list = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid()))
            .unwrap_or_default();
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().expect("lock of the child");
        let _ = child.kill();
        child.wait().expect("wait for the child");
    }

    /// `kill -15`, and waits until it is gone; its exit code. Kills it and panics when it takes longer than `within`.
    pub fn terminate(&self, within: Duration) -> Option<i32> {
        self.try_terminate(within).unwrap_or_else(|| {
            let (name, log) = (&self.program.name, tail(&self.program.log));
            panic!("{name} did not end within {within:?}:\n{log}")
        })
    }

    /// The same; kills it and gives none when it takes longer than `within`.
    pub fn try_terminate(&self, within: Duration) -> Option<Option<i32>> {
        self.signal("TERM");
        self.wait_for_end(within)
    }

    /// Its exit code once it has ended; kills it and gives none when that takes longer than `within`.
    pub(crate) fn wait_for_end(&self, within: Duration) -> Option<Option<i32>> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self
                .child
                .lock()
                .expect("lock of the child")
                .try_wait()
                .expect("wait for the child")
            {
                return Some(status.code());
            }
            if Instant::now() > end {
                self.kill();
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a condition of the started program; panics when it ends first or `within` is over.
    pub fn ready(&self, within: Duration, mut is_ready: impl FnMut() -> bool) {
        let end = Instant::now() + within;
        while !is_ready() {
            let name = &self.program.name;
            assert!(
                self.is_running(),
                "{name} ended while starting:\n{}",
                tail(&self.program.log)
            );
            assert!(
                Instant::now() < end,
                "{name} was not ready within {within:?}:\n{}",
                tail(&self.program.log)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// CPU time and memory so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.program.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal by name to a process that may have ended.
pub(crate) fn signal(pid: u32, signal: &str) {
    let _ = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// What a process has used, from `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident: u64,
    /// Largest resident memory so far, in bytes.
    pub peak: u64,
}

impl Usage {
    /// Usage of a process that must be running.
    pub fn of(pid: u32) -> Self {
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read /proc/pid/status");
        let bytes = |key: &str| {
            let line = status
                .lines()
                .find(|line| line.starts_with(key))
                .expect("memory line");
            line.split_whitespace()
                .nth(1)
                .and_then(|kb| kb.parse::<u64>().ok())
                .expect("kilobytes")
                * 1024
        };
        Self {
            cpu: cpu_of(pid).expect("read /proc/pid/stat"),
            resident: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        }
    }

    /// Resets the peak (`echo 5 > /proc/pid/clear_refs`).
    pub fn reset_peak(pid: u32) {
        let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// CPU time of a process; none if it has ended.
pub(crate) fn cpu_of(pid: u32) -> Option<Duration> {
    cpu_times(pid, 2)
}

/// CPU time of a process that must be running, and of those children of it that have ended.
pub(crate) fn cpu_with_ended_children(pid: u32) -> Duration {
    cpu_times(pid, 4).expect("read /proc/pid/stat")
}

/// The first of these in `/proc/pid/stat`: user and system time of the process, the same of its ended children.
fn cpu_times(pid: u32, first: usize) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?;
    let times = after_name.split_whitespace().skip(11).take(first);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every Linux that Rust supports.
    Some(Duration::from_millis(ticks * 10))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(30)..)
        .unwrap_or_default()
        .join("\n")
}

type Request = (Command, Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in requests {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = channel();
    spawner
        .send((command, reply))
        .expect("the spawner lives for ever");
    child.recv().expect("the spawner answers")
}

/// Whether this process may take on other accounts.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The project's folder.
pub fn project_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/kit is in the project")
        .to_owned()
}

/// Cargo's target folder, where logs and downloads go.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project_folder().join("target"), PathBuf::from)
}

/// A folder of `target/kit` that `scripts/setup` fills; it is filled now if `mark`, which is written last, is missing.
pub(crate) fn fetched(name: &str, mark: &str) -> PathBuf {
    static SETUP: Mutex<()> = Mutex::new(());
    let _one_at_a_time = SETUP.lock();
    let folder = project_folder().join("target/kit").join(name);
    if !folder.join(mark).is_file() {
        let purpose = if name == "connect" {
            "conformance"
        } else {
            "test"
        };
        let setup = Command::new(project_folder().join("scripts/setup"))
            .arg(purpose)
            .status();
        assert!(
            setup.expect("run scripts/setup").success(),
            "scripts/setup failed"
        );
    }
    folder
}

/// A program of the Python packages that `tests/kit/python/requirements.txt` lists.
pub fn python_program(name: &str) -> PathBuf {
    fetched("python", "requirements.txt").join("bin").join(name)
}

/// A program of the Node packages that `tests/kit/newman/package-lock.json` lists.
pub fn node_program(name: &str) -> PathBuf {
    fetched("newman", "complete")
        .join("node_modules/.bin")
        .join(name)
}

/// A program by name, looked for where servers are kept as well.
pub(crate) fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = places
        .map(|place| place.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run scripts/setup"))
}
