//! `rowferry serve` and `rowferry dev`: settings, log output, the async runtime, signals.

use std::path::PathBuf;

use clap::Args;
use connector_api::files::AllowedFiles;
use connector_api::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::print::{out, outln};
use super::{keys, signals};
use crate::app::BoundWorker;
use crate::kafka::dev::DevBroker;
use crate::observe::log::{self, LogFilter};
use crate::observe::panics;
use crate::registry::Registry;
use crate::settings::{SettingsLayer, WorkerSettings};

/// The origin of settings given as flags.
const COMMAND_LINE: &str = "command line";

/// Maximum number of threads of the runtime: a task waits much more than it computes, and each
/// thread takes memory.
const THREADS_MAX: usize = 8;

const SETTINGS: &str = "Settings have Kafka Connect's names. Later sources override earlier ones: defaults, --config \
     file, environment (CONNECT_BOOTSTRAP_SERVERS is bootstrap.servers), flags.";

#[derive(Args)]
pub(super) struct ServeOptions {
    /// Settings file: connect-distributed.properties, unchanged, or TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_name = "HOST:PORT", help = keys::flag("listeners"))]
    listen: Option<String>,
    #[arg(long, value_name = "HOST:PORT,…", help = keys::flag("bootstrap.servers"))]
    brokers: Option<String>,
    #[arg(long, value_name = "DIR", help = keys::flag("rowferry.data.dir"))]
    data_dir: Option<String>,
    /// Set any setting by its name; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    #[arg(long, value_name = "LEVEL", help = keys::flag("rowferry.log.level"))]
    log_level: Option<String>,
    #[arg(long, value_name = "FORMAT", value_parser = ["auto", "text", "json"], help = keys::flag("rowferry.log.format"))]
    log_format: Option<String>,
    /// Print the effective settings and their origins, and exit
    #[arg(long)]
    print_config: bool,
}

/// `rowferry serve`.
#[derive(Args)]
#[command(
    after_help = format!("{SETTINGS} `rowferry keys worker` lists them, and so does --help."),
    after_long_help = format!("{SETTINGS} They are:\n{}", keys::of_the_worker()),
)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    common: ServeOptions,
}

/// `rowferry dev`.
#[derive(Args)]
#[command(
    after_help = "Topics, offsets, connectors and their states are kept in memory and are lost when the \
         process ends. --brokers uses a real Kafka cluster instead, --data-dir keeps the \
         connectors."
)]
pub(super) struct DevCommand {
    #[command(flatten)]
    common: ServeOptions,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl ServeOptions {
    /// Returns the settings file.
    pub(super) fn config_file(&self) -> Option<&std::path::Path> {
        self.config.as_deref()
    }

    /// Returns all layers of settings, lowest first.
    pub(super) fn layers(&self, lowest: SettingsLayer) -> Result<Vec<SettingsLayer>> {
        let mut layers = vec![lowest];
        if let Some(path) = &self.config {
            layers.push(SettingsLayer::file(path)?);
        }
        layers.push(SettingsLayer::environment(std::env::vars_os().filter_map(
            |(name, value)| {
                // A name that is not valid text cannot be one of Rowferry's settings.
                Some((name.into_string().ok()?, value.into_string().ok()?))
            },
        )));
        let flags = [
            ("listeners", &self.listen),
            ("bootstrap.servers", &self.brokers),
            ("rowferry.data.dir", &self.data_dir),
            ("rowferry.log.level", &self.log_level),
            ("rowferry.log.format", &self.log_format),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        layers.push(SettingsLayer::pairs(
            COMMAND_LINE,
            self.settings.iter().cloned().chain(flags),
        ));
        Ok(layers)
    }
}

impl ServeCommand {
    /// Runs a worker until it receives a signal. Errors: the reason why it cannot start.
    pub(super) fn run(self, registry: Registry) -> Result<()> {
        let settings = WorkerSettings::load(self.common.layers(SettingsLayer::default())?)?;
        if self.common.print_config {
            out!("{}", settings.describe());
            return Ok(());
        }
        let log = log::init(&settings.log_level, &settings.log_format)?;
        panics::to_log();
        block_on(|front| serve((settings, registry, None, log), front, |_| {}))
    }
}

impl DevCommand {
    /// Runs a worker with its own broker until it receives a signal. Errors: the reason why it cannot start.
    pub(super) fn run(self, registry: Registry) -> Result<()> {
        let in_memory = (
            "rowferry.store.url".to_owned(),
            "sqlite::memory:".to_owned(),
        );
        let lowest = SettingsLayer::pairs(
            "rowferry dev",
            self.common.data_dir.is_none().then_some(in_memory),
        );
        let mut layers = self.common.layers(lowest)?;
        if self.common.print_config {
            out!("{}", WorkerSettings::load(layers)?.describe());
            return Ok(());
        }
        let broker = if self.common.brokers.is_none() {
            Some(DevBroker::start()?)
        } else {
            None
        };
        let servers = broker.as_ref().map(|b| {
            (
                "bootstrap.servers".to_owned(),
                b.bootstrap_servers().to_owned(),
            )
        });
        layers.push(SettingsLayer::pairs("rowferry dev", servers));
        let mut settings = WorkerSettings::load(layers)?;
        if !settings.given.contains_key("sqlite.allowed.paths") {
            settings.sqlite_paths.push(PathBuf::from("."));
        }
        if !settings.given.contains_key("file.allowed.paths") {
            settings.file_paths.push(PathBuf::from("."));
        }
        let log = log::init(&settings.log_level, &settings.log_format)?;
        panics::to_log();
        let kafka = settings
            .config
            .get("bootstrap.servers")
            .unwrap_or_default()
            .to_owned();
        let kafka = if broker.is_some() {
            format!("{kafka} (inside this process, in memory)")
        } else {
            kafka
        };
        let kept = match &self.common.data_dir {
            Some(dir) => format!("kept in {dir}"),
            None => "in memory, lost when this process ends".to_owned(),
        };
        let ready = |addresses: &[String]| {
            outln!("REST API    {}", addresses.join(" "));
            outln!("Kafka       {kafka}");
            outln!("connectors  {kept}");
            outln!("Ctrl-C ends it.");
        };
        block_on(|front| serve((settings, registry, broker, log), front, ready))
    }
}

type Start = (WorkerSettings, Registry, Option<DevBroker>, LogFilter);

async fn serve(
    (settings, registry, broker, log): Start,
    front: Handle,
    ready: impl FnOnce(&[String]),
) -> Result<()> {
    #[cfg(feature = "fail-points")]
    crate::fail_points::start();
    let shutdown = signals::on_end()?;
    let allowed = |setting, paths: &[PathBuf]| {
        AllowedFiles::new(setting, paths.to_vec(), settings.own_files())
    };
    let registry = registry.with_files(
        &allowed("sqlite.allowed.paths", &settings.sqlite_paths),
        &allowed("file.allowed.paths", &settings.file_paths),
    );
    let app = BoundWorker::open(settings, registry, broker, log).await?;
    ready(&app.addresses());
    on_hangup(app.reloader())?;
    app.run(shutdown, &front).await
}

/// Reloads files on SIGHUP.
fn on_hangup(reload: impl Fn() + Send + 'static) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::fatal("signals cannot be received").caused_by(error);
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}

/// Runs a future to its end on the single-threaded runtime that serves REST's connections.
fn block_on<F: Future<Output = Result<()>>>(work: impl FnOnce(Handle) -> F) -> Result<()> {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, THREADS_MAX);
    let (main, front) = (runtime(threads, "rowferry")?, runtime(1, "rest")?);
    let outcome = main.block_on(work(front.handle().clone()));
    front.shutdown_background();
    // A blocking call that hangs in a library must not delay the exit.
    main.shutdown_timeout(std::time::Duration::from_secs(1));
    crate::kafka::await_ended(std::time::Duration::from_secs(1));
    outcome
}

fn runtime(threads: usize, name: &str) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    let built = builder
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build();
    built.map_err(|error| Error::fatal("the async runtime cannot start").caused_by(error))
}
