//! Validation against the target database: can it be reached, can its tables be written exactly
//! once, and which privileges are missing?

use std::time::Duration;

use connector_api::{Config, ConfigReport, Error, Result};

use crate::driver::{self, AccessMode, ConnectOptions};
use crate::ident::TableId;
use crate::privileges::{AccountPrivileges, Privilege};
use crate::sink::config::{self, InsertMode, SchemaEvolution, SinkConfig};
use crate::sink::offsets;
use crate::sink::statement::StatementSet;
use crate::sink::write::connection::WriteConnection;
use crate::sink::write::evolve;
use crate::sink::write::target::TargetTable;
use crate::url;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Most tables that are checked. If a config names more topics, the account will hardly have other
/// privileges on the rest.
const TABLES: usize = 50;

/// Checks the target database of a config whose keys were valid one by one.
pub(super) async fn probe(config: &Config, report: &mut ConfigReport) {
    if config::given(config, "connection.url").is_none() {
        return;
    }
    let options = ConnectOptions {
        attempts: 1,
        backoff: Duration::ZERO,
        timeout: CONNECT_WITHIN,
        access: AccessMode::Create,
        ..ConnectOptions::default()
    };
    let connected = match url::ConnectionTarget::of_sink(config) {
        // validation must not create a file or a database; the connector will
        Ok(place) if driver::would_create(&place).unwrap_or(false) => return,
        Ok(place) if place.creates_database() => {
            let existing = ConnectOptions {
                access: AccessMode::Existing,
                ..options
            };
            match WriteConnection::open(&place, existing).await {
                Err(error) if driver::is_database_missing(&place, &error) => return,
                connected => connected,
            }
        }
        Ok(place) => WriteConnection::open(&place, options).await,
        Err(error) => Err(error),
    };
    let mut link = match connected {
        Ok(link) => link,
        Err(error) => return report.error("connection.url", could_not_connect(&error)),
    };
    // errors of other keys are in the report already
    if let Ok(sink) = SinkConfig::read(config) {
        // the statements name their tables, not the topics
        let topics = if sink.statement.is_some() {
            Vec::new()
        } else {
            topics(config)
        };
        if let Err(error) = look(&mut link, &sink, topics, report).await {
            tracing::debug!(%error, "tables and privileges cannot be read");
        }
        // a statement that cannot be parsed is in the report already
        if let Ok(Some(statements)) = StatementSet::read(&sink, link.writing.database) {
            for (key, error) in statements.check(&mut *link.session, link.writing).await {
                report.error(key, error.message().to_owned());
            }
            match statements
                .no_rollback(&mut *link.session, link.writing)
                .await
            {
                Ok(text) => tell_no_rollback(&sink, text, report),
                Err(error) => tracing::debug!(%error, "the tables of statements cannot be found"),
            }
        }
    }
    link.session.close().await;
}

/// The text that clients look for when a database cannot be reached.
fn could_not_connect(error: &Error) -> String {
    format!("Could not connect to database. {error}")
}

fn topics(config: &Config) -> Vec<&str> {
    let topics = config
        .get("topics")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|topic| !topic.is_empty());
    topics.take(TABLES).collect()
}

/// Checks the existing target tables and the account's privileges on them.
async fn look(
    link: &mut WriteConnection,
    sink: &SinkConfig,
    topics: Vec<&str>,
    report: &mut ConfigReport,
) -> Result<()> {
    let database = link.writing.database;
    let mut needs = Vec::new();
    for topic in topics {
        // Not an error yet: the task reports a topic that has no table.
        let Ok(id) = sink.naming.table(topic, database) else {
            continue;
        };
        let target =
            TargetTable::find(&mut *link.session, sink, link.writing, (&link.here, id)).await?;
        tell_no_rollback(
            sink,
            target
                .meta()
                .and_then(|meta| evolve::no_rollback(link.writing, meta)),
            report,
        );
        add(
            &mut needs,
            target.id.clone(),
            &for_rows(sink, target.meta().is_some()),
        );
    }
    if sink.exactly_once {
        let place =
            offsets::find(&mut *link.session, link.writing, &sink.cluster, &sink.name).await?;
        let target =
            TargetTable::find(&mut *link.session, sink, link.writing, (&link.here, place)).await?;
        add(
            &mut needs,
            target.id.clone(),
            &for_offsets(target.meta().is_some()),
        );
    }
    needs.sort_unstable();
    needs.dedup();
    if let Some(account) = AccountPrivileges::of(&mut *link.session, database).await? {
        let missing = account.missing(&mut *link.session, &needs).await?;
        missing
            .into_iter()
            .for_each(|text| report.error("connection.user", text));
    }
    Ok(())
}

fn tell_no_rollback(sink: &SinkConfig, text: Option<String>, report: &mut ConfigReport) {
    match text {
        Some(text) if sink.exactly_once => report.error("delivery.guarantee", text),
        Some(text) => report.warn("delivery.guarantee", text),
        None => {}
    }
}

fn add(needs: &mut Vec<(TableId, Privilege)>, mut id: TableId, privileges: &[Privilege]) {
    if id.schema.is_some() {
        // A PostgreSQL connection sees one database only, so the catalog's name adds nothing.
        id.catalog = None;
    }
    needs.extend(privileges.iter().map(|privilege| (id.clone(), *privilege)));
}

/// Privileges that a config needs on a table of records.
fn for_rows(sink: &SinkConfig, exists: bool) -> Vec<Privilege> {
    let wanted = [
        (!exists && sink.auto_create, Privilege::Create),
        (
            exists && sink.evolve != SchemaEvolution::Off,
            Privilege::Alter,
        ),
        (sink.insert_mode != InsertMode::Update, Privilege::Insert),
        (sink.insert_mode != InsertMode::Insert, Privilege::Update),
        (sink.delete_enabled, Privilege::Delete),
    ];
    wanted
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, privilege)| privilege)
        .collect()
}

/// Privileges that exactly-once delivery needs on its offsets table.
fn for_offsets(exists: bool) -> Vec<Privilege> {
    let rows = [Privilege::Select, Privilege::Insert, Privilege::Update];
    if exists {
        rows.to_vec()
    } else {
        rows.into_iter().chain([Privilege::Create]).collect()
    }
}
