//! Assembles the parts of a worker, runs them, and shuts them down in order.

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Error, Result};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::herder::plan::Planner;
use crate::herder::validate::{Validator, WorkerFacts};
use crate::herder::{GroupParts, Herder, HerderLoop, LoopParts};
use crate::kafka::dev::DevBroker;
use crate::observe::log::LogFilter;
use crate::registry::Registry;
use crate::rest;
use crate::secrets::{SecretKeys, known};
use crate::settings::{self, WorkerSettings};
use crate::store::{Store, StoreMember, StoreOptions};
use crate::worker::{Worker, WorkerOptions};

/// Maximum number of commands queued for the herder's loop; beyond that, callers wait.
const COMMANDS: usize = 256;
/// Maximum number of task events queued for the herder's loop; beyond that, tasks wait.
const EVENTS: usize = 1024;
/// Maximum number of queued changes of this worker's slots.
const SLOT_EVENTS: usize = 64;
/// How long requests in progress may continue after the worker has stopped.
const REST_LIMIT: Duration = Duration::from_secs(5);
/// Upper bound of the time tasks get to stop, whatever the settings say: the whole shutdown takes
/// at most 30 s.
const GRACEFUL_MAX: Duration = Duration::from_secs(20);

/// A worker that listens but does not serve yet.
pub(crate) struct BoundWorker {
    settings: WorkerSettings,
    listeners: Vec<TcpListener>,
    main_loop: HerderLoop,
    rest: rest::RestState,
    doors: Vec<rest::ListenerConfig>,
    reception: rest::SharedServer,
}

impl BoundWorker {
    /// Binds the listeners, opens the store and loads its contents. `broker` is the one of
    /// `rowferry dev`, if used. Kafka and databases need not be up. Errors: `Config`, `Denied`, or
    /// `Retry` when an address or the store is in use or unreachable.
    pub(crate) async fn open(
        settings: WorkerSettings,
        registry: Registry,
        broker: Option<DevBroker>,
        log: LogFilter,
    ) -> Result<Self> {
        log_warnings(&settings);
        let reception = rest::SharedServer::new(connections(&settings.rest));
        let doors = doors(&settings.rest, settings.metrics.listener.as_ref())?;
        let listeners = listen(&settings).await?;
        let port = listeners
            .first()
            .and_then(|l| l.local_addr().ok())
            .map_or(0, |address| address.port());
        let worker_id: Arc<str> = Arc::from(settings.rest.worker_id(port));
        let store = Store::open(&store_options(&settings, &worker_id)).await?;
        let (events, events_received) = mpsc::channel(EVENTS);
        let secrets = SecretKeys::of(&registry).on_worker(&settings.written(), &settings.resolved);
        known::remember(&secrets.of_worker());
        let options = worker_options(&settings, broker, secrets.clone());
        let worker = Worker::new(options, registry.clone(), events);
        let metrics = rest::MetricsSource {
            metrics: worker.metrics().clone(),
            spellings: settings.metrics.spellings.clone().into(),
        };
        let of_rest = worker.clone();
        let (commands, commands_received) = mpsc::channel(COMMANDS);
        let graceful = settings.graceful_timeout.min(GRACEFUL_MAX);
        let group = join_group(&worker, &settings, &store, (&worker_id, graceful)).await?;
        let parts = LoopParts {
            store,
            worker,
            events: events_received,
            registry: registry.clone(),
            worker_id: Arc::clone(&worker_id),
            url: url(&settings, &worker_id),
            track_topics: settings.topic_tracking.enabled,
            tasks_max: settings.tasks_max,
            worker_tasks_max: settings.worker_tasks_max,
            graceful,
            group,
        };
        let main_loop = HerderLoop::load(parts, commands_received).await?;
        info!(%worker_id, version = env!("CARGO_PKG_VERSION"), "rowferry is ready");
        let facts = worker_facts(&settings, secrets.clone());
        let validator = Validator::new(registry, facts);
        let herder = Herder::new(commands);
        let planner = Planner::new(herder.clone(), validator.clone(), of_rest.clone());
        let parts = (log, metrics, of_rest);
        let rest = rest_state(&settings, planner, (herder, validator), parts);
        let doors = doors.into_iter().map(|door| rest::ListenerConfig {
            access: door.access.with_secrets(secrets.clone()),
            ..door
        });
        let doors = doors.collect();
        Ok(Self {
            settings,
            listeners,
            main_loop,
            rest,
            doors,
            reception,
        })
    }

    /// Returns the addresses that REST listens on, as URLs.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let url = |(at, listener): (&settings::ListenerAddress, &TcpListener)| {
            let scheme = if at.tls { "https" } else { "http" };
            listener
                .local_addr()
                .ok()
                .map(|address| format!("{scheme}://{address}"))
        };
        self.settings
            .rest
            .listeners
            .iter()
            .zip(&self.listeners)
            .filter_map(url)
            .collect()
    }

    /// Returns a function that reloads the worker's certificate, for SIGHUP. (The users file is
    /// reloaded automatically.)
    pub(crate) fn reloader(&self) -> impl Fn() + Send + Sync + 'static {
        // All https listeners share one certificate.
        let tls = self.doors.iter().find_map(|door| door.tls.clone());
        move || match tls.as_ref().map(rest::ServerTls::reload) {
            Some(Ok(())) => info!("the certificate was reloaded"),
            Some(Err(error)) => warn!(%error,
                "the certificate could not be reloaded; the previous one stays in use"),
            None => info!("there is no https listener whose certificate could be reloaded"),
        }
    }

    /// Serves until `shutdown` is cancelled, then shuts down: refuses new requests, lets tasks
    /// flush, commit and close, and stores their statuses. Connections and probes are served on
    /// `front`, so that they answer whatever the main runtime is doing. Errors: `Fatal` when a
    /// listener cannot be served.
    pub(crate) async fn run(self, shutdown: CancellationToken, front: &Handle) -> Result<()> {
        let failed =
            |error: std::io::Error| Error::fatal("a listener cannot be served").caused_by(error);
        let mut servers = JoinSet::new();
        for (listener, door) in self.listeners.into_iter().zip(self.doors) {
            let (listener, end) = (
                listener.into_std().map_err(failed)?,
                shutdown.clone().cancelled_owned(),
            );
            let serving = rest::serve(
                listener,
                self.rest.clone(),
                door,
                self.reception.clone(),
                end,
            );
            servers.spawn_on(serving, front);
        }
        front.spawn(self.rest.main.clone().watch());
        let ended = self.main_loop.run(shutdown.clone()).await;
        shutdown.cancel();
        let finished = async { while servers.join_next().await.is_some() {} };
        if tokio::time::timeout(REST_LIMIT, finished).await.is_err() {
            warn!("some requests did not end in time and are cut off");
        }
        ended
    }
}

fn log_warnings(settings: &WorkerSettings) {
    for warning in settings
        .warnings()
        .into_iter()
        .chain(settings.warnings_of_listeners())
    {
        warn!("{warning}");
    }
}

/// Returns the settings of the store, with this worker if it shares it.
fn store_options(settings: &WorkerSettings, worker_id: &Arc<str>) -> StoreOptions {
    if settings.shared.is_some() && is_loopback(worker_id) {
        warn!(
            "other workers and people see this one as {worker_id}, which only this machine can \
             reach: set rest.advertised.host.name if workers on other machines share the store"
        );
    }
    let member = settings.shared.as_ref().map(|shared| StoreMember {
        id: worker_id.to_string(),
        instance: instance(),
        url: url(settings, worker_id),
        group_id: settings.group_id.clone(),
        slots: shared.slots,
    });
    StoreOptions {
        member,
        ..settings.store.clone()
    }
}

/// Returns the URL by which other workers and people reach this one.
fn url(settings: &WorkerSettings, worker_id: &str) -> String {
    let scheme = match settings.rest.listeners.first() {
        Some(listener) if listener.tls => "https",
        _ => "http",
    };
    format!("{scheme}://{worker_id}")
}

fn is_loopback(worker_id: &str) -> bool {
    let host = worker_id
        .rsplit_once(':')
        .map_or(worker_id, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// Identifies this start of the process.
fn instance() -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}-{}", since.as_micros(), std::process::id())
}

/// Makes this worker one of several, if the settings say so.
async fn join_group(
    worker: &Worker,
    settings: &WorkerSettings,
    store: &Store,
    (worker_id, graceful): (&str, Duration),
) -> Result<Option<GroupParts>> {
    let Some(shared) = &settings.shared else {
        return Ok(None);
    };
    let slot_count = store.slot_count().await?;
    let (events, slots) = mpsc::channel(SLOT_EVENTS);
    let group = worker.join_group(shared, slot_count, (worker_id, graceful), events)?;
    Ok(Some(GroupParts {
        group,
        slots,
        slot_count,
        poll: shared.poll,
        patience: shared.patience,
        balance: shared.balance,
        balance_interval: shared.balance_interval,
        return_within: shared.return_within,
    }))
}

/// Returns the settings that tasks need.
fn worker_options(
    settings: &WorkerSettings,
    dev_broker: Option<DevBroker>,
    secrets: SecretKeys,
) -> WorkerOptions {
    WorkerOptions {
        config: settings.config.clone(),
        group_id: settings.group_id.clone(),
        offset_topic: settings.offset_topic.clone(),
        offset_partitions: settings.offset_partitions,
        replication_factor: settings.replication_factor,
        flush_interval: settings.flush_interval,
        exactly_once_source: settings.exactly_once_source,
        dev_broker,
        providers: settings.providers.clone(),
        secrets,
        metrics_tables_max: settings.metrics.tables_max,
    }
}

/// Returns the settings that config validation needs.
fn worker_facts(settings: &WorkerSettings, secrets: SecretKeys) -> WorkerFacts {
    WorkerFacts {
        config: settings.config.clone(),
        group_id: settings.group_id.clone(),
        exactly_once_source: settings.exactly_once_source,
        tasks_max: settings.tasks_max,
        providers: settings.providers.clone(),
        secrets,
    }
}

/// Returns what request handlers share.
fn rest_state(
    settings: &WorkerSettings,
    planner: Planner,
    (herder, validator): (Herder, Validator),
    (log, metrics, worker): (LogFilter, rest::MetricsSource, Worker),
) -> rest::RestState {
    let logs = rest::ConnectorLogs {
        lines: log.lines(),
        set_level: {
            let log = log.clone();
            Arc::new(move |name, level, time| log.set_connector(name, level, time))
        },
    };
    rest::RestState {
        logs,
        herder,
        validator,
        levels: rest::LogLevels::new(log),
        turns: rest::ConnectorLocks::default(),
        topic_tracking: settings.topic_tracking,
        admin: settings.rest.admin,
        warnings: settings.warnings_of_listeners().into(),
        planner,
        metrics,
        worker,
        main: rest::MainRuntime::current(),
    }
}

/// Returns the access rules and the certificate of each listener, that of the metrics last.
fn doors(
    settings: &settings::RestSettings,
    metrics: Option<&settings::ListenerAddress>,
) -> Result<Vec<rest::ListenerConfig>> {
    let mut tls = None;
    if settings
        .listeners
        .iter()
        .chain(metrics)
        .any(|listener| listener.tls)
    {
        let files = settings.tls.as_ref().ok_or_else(|| {
            Error::config("an https listener needs rowferry.tls.certificate and rowferry.tls.key, both PEM files")
        })?;
        tls = Some(rest::ServerTls::open(rest::CertificateFiles {
            certificates: files.certificates.clone(),
            key: files.key.clone(),
            client_authorities: files.client_authorities.clone(),
        })?);
    }
    let auth = settings
        .auth_file
        .as_deref()
        .map(rest::auth::Authenticator::open)
        .transpose()?;
    // A client that sends credentials means this worker, whatever host name it uses.
    let hosts = auth.is_none().then(|| known_as(settings));
    let rules = rest::OriginRules {
        allow_origin: settings.allow_origin.clone(),
        hosts,
    };
    let access = rest::RestAccess::new(
        auth,
        rules,
        &settings.allow_methods,
        &settings.extra_headers,
    )?;
    let door = |listener: &settings::ListenerAddress| rest::ListenerConfig {
        access: access.clone(),
        tls: tls.clone().filter(|_| listener.tls),
        served: rest::Served::Api,
    };
    let mut doors: Vec<_> = settings.listeners.iter().map(door).collect();
    if let Some(listener) = metrics {
        // Nobody logs in here, so the names of hosts are checked whatever the other listeners do.
        let rules = rest::OriginRules {
            allow_origin: String::new(),
            hosts: Some(known_as(settings)),
        };
        let access = rest::RestAccess::new(None, rules, "", &settings.extra_headers)?;
        let door = door(listener);
        doors.push(rest::ListenerConfig {
            access,
            served: rest::Served::Metrics,
            ..door
        });
    }
    Ok(doors)
}

/// Returns how many connections REST accepts: as many as the settings say and the open-file limit
/// leaves room for.
fn connections(settings: &settings::RestSettings) -> rest::ConnectionLimits {
    let (wanted, files) = (settings.connections, settings::raise_open_files());
    // Databases, Kafka and the store need files too, and so does the reserved share.
    let room = (files / 2).saturating_sub(64).max(8);
    if wanted > room {
        warn!(
            "REST accepts at most {room} connections instead of {wanted}, because only {files} \
             files may be open (ulimit -n)"
        );
    }
    rest::ConnectionLimits {
        connections: wanted.min(room),
        per_address: settings.connections_per_address,
    }
}

/// Returns the host names by which a request may address this worker.
fn known_as(settings: &settings::RestSettings) -> Vec<String> {
    let listeners = settings
        .listeners
        .iter()
        .map(|listener| listener.host.clone());
    let given = settings
        .advertised_host
        .iter()
        .chain(&settings.allowed_hosts)
        .cloned();
    listeners
        .chain(given)
        .chain(settings::own_names())
        .filter(|name| !name.is_empty())
        .collect()
}

async fn listen(settings: &WorkerSettings) -> Result<Vec<TcpListener>> {
    let mut bound = Vec::new();
    let metrics = settings.metrics.listener.iter();
    for listener in settings.rest.listeners.iter().chain(metrics) {
        let (host, port) = listener.address();
        bound.push(TcpListener::bind((host, port)).await.map_err(|e| {
            Error::retry(format!(
                "cannot listen on {host}:{port}: {e}; stop the program that uses the address, or \
                 choose another address with --listen"
            ))
        })?);
    }
    Ok(bound)
}

impl rest::LogControl for LogFilter {
    fn levels(&self) -> Vec<(String, String)> {
        self.levels()
    }

    fn root(&self) -> String {
        self.root()
    }

    fn known(&self) -> Vec<String> {
        self.known()
    }

    fn set(&self, directives: &str) {
        self.set(directives);
    }
}
