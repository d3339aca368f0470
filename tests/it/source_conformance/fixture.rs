//! A database of its own for each test, on each server, and a source task over it that is polled here.

use std::time::Duration;

use connector_api::{
    Config, OffsetValue, Record, Result, Schema, SourceBatch, SourceConnector, SourceOffset,
    SourcePartition, SourceTask, Value, logical,
};
use connector_jdbc::source::JdbcSource;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor};
use testkit::{MariaDb, Postgres, SqliteFile, unique};

use crate::lab;
use crate::source::Stored;

/// The databases that the rows are tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    MariaDb,
    Postgres,
    Sqlite,
}

/// All of them: a new one is a line here, its words below, and how to connect.
pub const DATABASES: [Server; 3] = [Server::MariaDb, Server::Postgres, Server::Sqlite];
/// Those that are servers.
pub const SERVERS: [Server; 2] = [Server::MariaDb, Server::Postgres];

/// How long rows are waited for.
const PLENTY: Duration = Duration::from_secs(60);
/// How long nothing may come for there to be nothing.
const QUIET: Duration = Duration::from_millis(400);

impl Server {
    /// Words of SQL that differ: in a statement they are in braces.
    fn words(self) -> [(&'static str, &'static str); 6] {
        match self {
            Self::MariaDb => [
                ("{serial}", "INT NOT NULL AUTO_INCREMENT PRIMARY KEY"),
                ("{stamp}", "DATETIME(3)"),
                ("{q}", "`"),
                ("{now}", "UTC_TIMESTAMP(3)"),
                ("{soon}", "UTC_TIMESTAMP(3) + INTERVAL 1 SECOND"),
                ("{schema}.", "{db}."),
            ],
            Self::Postgres => [
                ("{serial}", "SERIAL PRIMARY KEY"),
                ("{stamp}", "TIMESTAMP(3)"),
                ("{q}", "\""),
                ("{now}", "timezone('UTC', clock_timestamp())"),
                (
                    "{soon}",
                    "timezone('UTC', clock_timestamp()) + INTERVAL '1' SECOND",
                ),
                ("{schema}.", "public."),
            ],
            Self::Sqlite => [
                ("{serial}", "INTEGER PRIMARY KEY"),
                ("{stamp}", "DATETIME"),
                ("{q}", "`"),
                ("{now}", "strftime('%Y-%m-%d %H:%M:%f', 'now')"),
                (
                    "{soon}",
                    "strftime('%Y-%m-%d %H:%M:%f', 'now', '+1 second')",
                ),
                ("{schema}.", ""),
            ],
        }
    }
}

/// A connection to any of them.
pub enum Connection {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connection {
    /// To a new database of that name, with the URL, the user and the password of a source over it.
    pub async fn create(server: Server, name: &str) -> (Self, String, &'static str, &'static str) {
        match server {
            Server::MariaDb => {
                let connection = Self::MariaDb(lab().mariadb().create_database(name).await);
                (
                    connection,
                    lab().mariadb().jdbc_url(name),
                    MariaDb::USER,
                    MariaDb::PASSWORD,
                )
            }
            Server::Postgres => {
                let connection = Self::Postgres(lab().postgres().create_database(name).await);
                (
                    connection,
                    lab().postgres().jdbc_url(name),
                    Postgres::USER,
                    Postgres::PASSWORD,
                )
            }
            Server::Sqlite => {
                let file = SqliteFile::new(lab().scratch(), name);
                (Self::Sqlite(file.connect().await), file.jdbc_url(), "", "")
            }
        }
    }
}

/// A database, what has been stored of its offsets, and the config of a source over it.
pub struct Fixture {
    pub server: Server,
    /// The database.
    pub name: String,
    connection: Connection,
    pub stored: Stored,
    config: Config,
}

impl Stored {
    /// As if a connector had stored that before.
    pub fn set(&mut self, partition: &[(&str, &str)], offset: &[(&str, i64)]) {
        let text = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), OffsetValue::Text((*value).to_owned()))
        };
        let long = |(name, value): &(&str, i64)| ((*name).to_owned(), OffsetValue::Long(*value));
        let partition = SourcePartition(partition.iter().map(text).collect());
        self.0.push((
            partition,
            Some(SourceOffset(offset.iter().map(long).collect())),
        ));
    }

    /// Partition and offset stored last, such as `protocol=1 table=db.t | incrementing=3`; without an offset `null`.
    pub fn last(&self) -> String {
        let scalar = |value: &OffsetValue| match value {
            OffsetValue::Long(n) => n.to_string(),
            OffsetValue::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        let members = |members: &[(String, OffsetValue)]| {
            members
                .iter()
                .map(|(name, value)| format!("{name}={}", scalar(value)))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let Some((partition, offset)) = self.0.last() else {
            return "nothing".to_owned();
        };
        let offset = offset
            .as_ref()
            .map_or("null".to_owned(), |offset| members(&offset.0));
        format!("{} | {offset}", members(&partition.0))
    }
}

impl Fixture {
    /// A new database, and a source with these keys over its table `test`.
    pub async fn new(server: Server, keys: &[(&str, &str)]) -> Self {
        let name = unique("conformance");
        let (connection, url, user, password) = Connection::create(server, &name).await;
        let mut config = Config::default();
        for (key, value) in [
            ("connection.url", url.as_str()),
            ("connection.user", user),
            ("connection.password", password),
            ("topic.prefix", "test-"),
            ("poll.interval.ms", "20"),
            ("key.mode", "none"),
        ] {
            config.set(key, value);
        }
        let filters = [
            "query",
            "table.whitelist",
            "table.blacklist",
            "table.include.list",
        ];
        if !keys.iter().any(|(key, _)| filters.contains(key)) {
            config.set("table.whitelist", "test");
        }
        let mut fixture = Self {
            server,
            name,
            connection,
            stored: Stored::default(),
            config,
        };
        fixture.set(keys);
        fixture
    }

    /// Changes keys of the source; values may hold the server's words.
    pub fn set(&mut self, keys: &[(&str, &str)]) {
        for (key, value) in keys {
            let value = self.in_its_words(value);
            self.config.set(*key, value);
        }
    }

    /// The source's config.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// Text with the server's words in place of their names, and its database in place of `{db}`.
    pub fn in_its_words(&self, text: &str) -> String {
        let words = self.server.words();
        let text = words.iter().fold(text.to_owned(), |text, (name, word)| {
            text.replace(name, word)
        });
        text.replace("{db}", &self.name)
    }

    /// How offsets name a table of this database.
    pub fn full(&self, table: &str) -> String {
        self.in_its_words(&format!("{{schema}}.{table}"))
    }

    /// Sends statements, separated by `;`.
    pub async fn sql(&mut self, statements: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(self.in_its_words(statements)));
        let sent = match &mut self.connection {
            Connection::MariaDb(connection) => connection.execute(sql).await.map(drop),
            Connection::Postgres(connection) => connection.execute(sql).await.map(drop),
            Connection::Sqlite(connection) => connection.execute(sql).await.map(drop),
        };
        sent.unwrap_or_else(|error| panic!("{error} in: {statements}"));
    }

    /// One more connection to the file.
    pub async fn connect(&self) -> SqliteConnection {
        SqliteFile::new(lab().scratch(), &self.name).connect().await
    }

    /// Opens the one task of the source, where the stored offsets say.
    pub async fn open(&self) -> Box<dyn SourceTask> {
        self.try_open()
            .await
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.server))
    }

    /// The same, with the error that it ends in.
    pub async fn try_open(&self) -> Result<Box<dyn SourceTask>> {
        let plan = JdbcSource.plan(&self.config, 1).await?;
        JdbcSource.open(&plan.tasks[0], &self.stored).await
    }

    /// Polls until there are that many records; their positions count as stored.
    pub async fn read(&mut self, task: &mut dyn SourceTask, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let end = tokio::time::Instant::now() + PLENTY;
        while records.len() < count {
            let polled = tokio::time::timeout_at(end, task.poll()).await;
            let batch =
                polled.unwrap_or_else(|_| panic!("{} of {count} records came", records.len()));
            self.take(batch.unwrap(), &mut records).await;
        }
        assert_eq!(records.len(), count, "{:?}: {records:?}", self.server);
        records
    }

    /// The ids of the next records, however many come at once.
    pub async fn next_ids(&mut self, task: &mut dyn SourceTask) -> Vec<String> {
        let mut records = Vec::new();
        while records.is_empty() {
            let polled = tokio::time::timeout(PLENTY, task.poll())
                .await
                .expect("records in time");
            self.take(polled.unwrap(), &mut records).await;
        }
        records
            .iter()
            .map(|record| shown(member(record, "id")))
            .collect()
    }

    /// Panics when records still come.
    pub async fn nothing_more(&mut self, task: &mut dyn SourceTask) {
        let mut records = Vec::new();
        let end = tokio::time::Instant::now() + QUIET;
        while let Ok(batch) = tokio::time::timeout_at(end, task.poll()).await {
            self.take(batch.unwrap(), &mut records).await;
            assert!(
                records.is_empty(),
                "{:?}: not expected: {records:?}",
                self.server
            );
            if tokio::time::Instant::now() > end {
                return;
            }
        }
    }

    /// Polls until the task fails, and returns its error.
    pub async fn error(&mut self, task: &mut dyn SourceTask) -> String {
        let end = tokio::time::Instant::now() + PLENTY;
        loop {
            let polled = tokio::time::timeout_at(end, task.poll())
                .await
                .expect("an error in time");
            let mut records = Vec::new();
            match polled {
                Ok(batch) => self.take(batch, &mut records).await,
                Err(error) => return error.to_string(),
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{:?}: no error",
                self.server
            );
        }
    }

    async fn take(&mut self, batch: SourceBatch, records: &mut Vec<Record>) {
        self.stored.note(&batch);
        records.extend(batch.records);
        tokio::time::sleep(
            batch
                .idle_for
                .unwrap_or_default()
                .min(Duration::from_millis(50)),
        )
        .await;
    }

    /// The values of that column in the next records.
    pub async fn column(
        &mut self,
        task: &mut dyn SourceTask,
        name: &str,
        count: usize,
    ) -> Vec<String> {
        self.read(task, count)
            .await
            .iter()
            .map(|record| shown(member(record, name)))
            .collect()
    }
}

/// The value of a record's field.
#[track_caller]
pub fn member<'a>(record: &'a Record, name: &str) -> &'a Value {
    let schema = record.value.schema.as_ref().expect("a schema");
    let index = schema
        .field_index(name)
        .unwrap_or_else(|| panic!("no field {name} in {schema:?}"));
    let Value::Struct(values) = &record.value.value else {
        panic!("no struct: {record:?}")
    };
    &values[index]
}

/// A record's field: its schema in a few words and its value, such as `int32? Date 2600`.
#[track_caller]
pub fn described(record: &Record, name: &str) -> String {
    let schema = record.value.schema.as_ref().expect("a schema");
    let field = &schema.fields[schema
        .field_index(name)
        .unwrap_or_else(|| panic!("no field {name} in {schema:?}"))];
    format!(
        "{} {}",
        schema_text(&field.schema),
        shown(member(record, name))
    )
}

fn schema_text(schema: &Schema) -> String {
    let mut text = schema.ty.name().to_lowercase();
    if schema.optional {
        text.push('?');
    }
    if let Some(name) = schema.name.as_deref() {
        text.push(' ');
        text.push_str(name.rsplit('.').next().unwrap_or(name));
    }
    if let Some(scale) = schema.get_param(logical::SCALE) {
        let precision = schema.get_param(logical::PRECISION).unwrap_or("none");
        text.push_str(&format!("({precision},{scale})"));
    }
    text
}

/// A value as text.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(v) => v.to_string(),
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        Value::Decimal(v) => v.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        value => value
            .as_i64()
            .map_or_else(|| format!("{value:?}"), |n| n.to_string()),
    }
}
