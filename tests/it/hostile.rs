//! Database servers that lie about sizes or whose bytes are damaged on their way: the worker lives, in little memory, and
//! goes on once the server answers truthfully again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::hostile::{Hostile, Lie, Mood, Protocol};
use testkit::{
    MariaDb, Postgres, Random, Rest, Rowferry, Settings, Usage, for_condition, mariadb, postgres,
    unique,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::database_tls::Encrypted;
use crate::{SOON, lab};

/// Most resident memory of a worker that is lied to, in bytes.
const LIMIT: u64 = 300_000_000;

/// A database of the shared server with a table `t` of ids and names.
pub(crate) struct Place {
    pub protocol: Protocol,
    pub name: String,
    encrypted: Option<Arc<Encrypted>>,
}

impl Place {
    pub async fn new(protocol: Protocol) -> Self {
        Self::on(protocol, None).await
    }

    /// One of these servers, or of the shared ones.
    async fn on(protocol: Protocol, encrypted: Option<Arc<Encrypted>>) -> Self {
        let place = Self {
            protocol,
            name: unique("hostile"),
            encrypted,
        };
        match protocol {
            Protocol::MySql => drop(place.mariadb().create_database(&place.name).await),
            Protocol::Postgres => drop(place.postgres().create_database(&place.name).await),
        }
        place
            .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(100))")
            .await;
        place
    }

    fn mariadb(&self) -> &MariaDb {
        self.encrypted
            .as_ref()
            .map_or_else(|| lab().mariadb(), |servers| &servers.mariadb)
    }

    fn postgres(&self) -> &Postgres {
        self.encrypted
            .as_ref()
            .map_or_else(|| lab().postgres(), |servers| &servers.postgres)
    }

    fn port(&self) -> u16 {
        match self.protocol {
            Protocol::MySql => self.mariadb().port(),
            Protocol::Postgres => self.postgres().port(),
        }
    }

    pub async fn run(&self, sql: &str) {
        match self.protocol {
            Protocol::MySql => {
                mariadb::run(&mut self.mariadb().connect(&self.name).await, sql).await;
            }
            Protocol::Postgres => {
                drop(postgres::texts(&mut self.postgres().connect(&self.name).await, sql).await);
            }
        }
    }

    /// Adds rows with the next ids.
    pub async fn insert(&self, rows: usize) {
        for _ in 0..rows {
            self.run(
                "INSERT INTO t SELECT COALESCE(MAX(id), 0) + 1, CONCAT('name ', COUNT(*)) FROM t",
            )
            .await;
        }
    }

    /// The number of rows of a table, of different ids, and a sum of them; nothing while there is no such table.
    async fn summary(&self, table: &str) -> Vec<Option<String>> {
        let column = |name: &str| match self.protocol {
            Protocol::MySql => format!("`{name}`"),
            Protocol::Postgres => format!("\"{name}\""),
        };
        let there =
            format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = '{table}'");
        let sql = format!(
            "SELECT COUNT(*), COUNT(DISTINCT {id}), SUM({id} * LENGTH({name})) FROM {table}",
            id = column("id"),
            name = column("name"),
            table = column(table)
        );
        let mut rows = match self.protocol {
            Protocol::MySql => {
                let mut connection = self.mariadb().connect(&self.name).await;
                let there = format!("{there} AND table_schema = DATABASE()");
                if mariadb::texts(&mut connection, &there).await[0][0].as_deref() == Some("0") {
                    return Vec::new();
                }
                mariadb::texts(&mut connection, &sql).await
            }
            Protocol::Postgres => {
                let mut connection = self.postgres().connect(&self.name).await;
                if postgres::texts(
                    &mut connection,
                    &there.replace("COUNT(*)", "COUNT(*)::text"),
                )
                .await[0][0]
                    .as_deref()
                    == Some("0")
                {
                    return Vec::new();
                }
                let sql = sql
                    .replace("COUNT(*)", "COUNT(*)::text")
                    .replace("\"id\"),", "\"id\")::text,");
                postgres::texts(
                    &mut connection,
                    &sql.replace("(\"name\"))", "(\"name\"))::text"),
                )
                .await
            }
        };
        rows.remove(0)
    }

    fn url(&self, port: u16) -> String {
        let mode = if self.encrypted.is_some() {
            "require"
        } else {
            "disable"
        };
        match self.protocol {
            Protocol::MySql => format!(
                "jdbc:mariadb://127.0.0.1:{port}/{}?sslMode={mode}",
                self.name
            ),
            Protocol::Postgres => format!(
                "jdbc:postgresql://127.0.0.1:{port}/{}?sslmode={mode}",
                self.name
            ),
        }
    }

    fn login(&self, mut config: Value) -> Value {
        let (user, password) = match self.protocol {
            Protocol::MySql => (MariaDb::USER, MariaDb::PASSWORD),
            Protocol::Postgres => (Postgres::USER, Postgres::PASSWORD),
        };
        config["connection.user"] = json!(user);
        config["connection.password"] = json!(password);
        config
    }

    pub fn source(&self, url: &str) -> Value {
        self.login(json!({"connector.class": "JdbcSource", "connection.url": url, "mode": "incrementing",
            "incrementing.column.name": "id", "table.whitelist": "t", "topic.prefix": format!("{}_", self.name),
            "poll.interval.ms": "100", "connection.attempts": "1"}))
    }

    pub fn sink(&self, url: &str) -> Value {
        self.login(json!({"connector.class": "JdbcSink", "connection.url": url, "topics": format!("{}_t", self.name),
            "table.name.format": "copy", "connection.attempts": "1"}))
    }

    /// Waits until the copy holds the table's rows, while tasks that have failed are started again.
    pub async fn wait_same(&self, rest: &Rest, names: &[String]) {
        let mut last = (Vec::new(), Vec::new());
        let arrived = async || {
            restart_failed(rest, names).await;
            last = (self.summary("t").await, self.summary("copy").await);
            last.0 == last.1
        };
        for_condition(
            &format!("the same rows in {}", self.name),
            SOON * 2,
            arrived,
        )
        .await;
    }
}

async fn restart_failed(rest: &Rest, names: &[String]) {
    for name in names {
        let status = rest.get(&format!("/connectors/{name}/status")).await;
        if status.text.contains("FAILED") {
            let _ = rest
                .post(
                    &format!("/connectors/{name}/restart?includeTasks=true&onlyFailed=true"),
                    &json!({}),
                )
                .await;
        }
    }
}

/// Asserts that the worker has taken little memory since it was last asked, and never wrote a backtrace.
fn assert_sound(worker: &Rowferry, what: &str) {
    assert!(
        worker.is_running(),
        "{what}: the worker is gone: {}",
        worker.log()
    );
    let usage = Usage::of(worker.pid());
    assert!(
        usage.peak < LIMIT,
        "{what}: {} bytes of resident memory at the peak",
        usage.peak
    );
    Usage::reset_peak(worker.pid());
    let log = worker.log();
    assert!(
        !log.contains("stack backtrace") && !log.contains("RUST_BACKTRACE"),
        "{what}: a backtrace in the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lies_about_sizes_is_refused_by_validation_in_little_memory() {
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&unique("lied-to")));
    for protocol in [Protocol::MySql, Protocol::Postgres] {
        let place = Place::new(protocol).await;
        let relay = Hostile::start(protocol, place.port()).await;
        let url = place.url(relay.port());
        for (plugin, config) in [
            ("JdbcSource", place.source(&url)),
            ("JdbcSink", place.sink(&url)),
        ] {
            let mut config = config;
            config["name"] = json!("lied-to");
            for lie in Lie::ALL {
                // the greeting, the settings after the login, and what is prepared and executed then
                for at in [0, 2, 4, 5] {
                    let what = format!("{protocol:?} {plugin} {lie:?} {at}");
                    relay.be(Mood::Lying(lie, at));
                    let path = format!("/connector-plugins/{plugin}/config/validate");
                    let answer = worker
                        .rest()
                        .try_send("PUT", &path, Some(("application/json", config.to_string())))
                        .await;
                    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(answer.status, 200, "{what}: {}", answer.text);
                    assert!(
                        answer.text.len() < 200_000,
                        "{what}: an answer of {} bytes",
                        answer.text.len()
                    );
                    if at == 2 && matches!(lie, Lie::Columns | Lie::EndlessMessage | Lie::CutShort)
                    {
                        assert!(
                            answer.body["error_count"].as_u64() > Some(0),
                            "{what}: {}",
                            answer.text
                        );
                    }
                    assert_sound(&worker, &what);
                }
            }
            relay.be(Mood::Honest);
            let path = format!("/connector-plugins/{plugin}/config/validate");
            let answer = worker.rest().put(&path, &config).await.expect(200);
            assert_eq!(answer.body["error_count"], 0, "{}", answer.text);
        }
        assert!(relay.reported() >= 72, "{} lies", relay.reported());
    }
    assert_eq!(worker.stop(Duration::from_secs(35)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_whose_database_lies_end_with_a_clear_error_and_go_on_when_it_does_not() {
    let worker = lab().own_worker(&unique("lied-to-tasks"));
    for protocol in [Protocol::MySql, Protocol::Postgres] {
        let place = Place::new(protocol).await;
        let (before, behind) = (
            Hostile::start(protocol, place.port()).await,
            Hostile::start(protocol, place.port()).await,
        );
        let names = [
            format!("{}-source", place.name),
            format!("{}-sink", place.name),
        ];
        place.insert(3).await;
        worker
            .rest()
            .create(&names[0], &place.source(&place.url(before.port())))
            .await;
        worker
            .rest()
            .create(&names[1], &place.sink(&place.url(behind.port())))
            .await;
        place.wait_same(worker.rest(), &names).await;
        // what looks like an acknowledgement of a commit that never was is not among them: nobody could tell
        for lie in [
            Lie::EndlessMessage,
            Lie::Columns,
            Lie::CutShort,
            Lie::LongerThanItsMessage,
            Lie::LongError,
        ] {
            for (relay, name) in [(&behind, &names[1]), (&before, &names[0])] {
                let what = format!("{protocol:?} {lie:?} to {name}");
                let reported = relay.reported();
                relay.be(Mood::Lying(lie, 1));
                place.insert(2).await;
                for_condition(&format!("a lie: {what}"), SOON, async || {
                    relay.reported() > reported
                })
                .await;
                if lie == Lie::EndlessMessage {
                    let status = worker.rest().wait_state(name, "FAILED", SOON).await;
                    let trace = status["tasks"][0]["trace"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                    assert!(trace.contains("max.row.bytes"), "{what}: {trace}");
                }
                relay.be(Mood::Honest);
                place.wait_same(worker.rest(), &names).await;
                assert_sound(&worker, &what);
            }
        }
        for name in &names {
            worker.rest().remove(name).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_never_take_the_worker_down() {
    let (worker, mut random) = (lab().own_worker(&unique("damaged")), Random::new());
    for protocol in [Protocol::MySql, Protocol::Postgres] {
        let place = Place::new(protocol).await;
        let relay = Hostile::start(protocol, place.port()).await;
        let url = place.url(relay.port());
        let names = [
            format!("{}-source", place.name),
            format!("{}-sink", place.name),
        ];
        worker.rest().create(&names[0], &place.source(&url)).await;
        worker.rest().create(&names[1], &place.sink(&url)).await;
        relay.be(Mood::Damaging(random.fork(), 150));
        let damaged = async || {
            restart_failed(worker.rest(), &names).await;
            place.insert(1).await;
            assert_sound(&worker, &format!("{protocol:?}"));
            relay.reported() > 60
        };
        for_condition("60 damages", SOON * 3, damaged).await;
        relay.be(Mood::Honest);
        for name in &names {
            let status = worker
                .rest()
                .get(&format!("/connectors/{name}/status"))
                .await
                .expect(200);
            println!("{protocol:?} {name}: {}", status.text);
            worker.rest().remove(name).await;
        }
        // with damaged numbers for positions, rows may be lost; a connection with TLS notices. A new one finds all.
        let names = names.map(|name| format!("{name}-2"));
        let source = place.source(&url).as_object().cloned().map(|mut config| {
            config.insert(
                "topic.prefix".to_owned(),
                json!(format!("{}_2_", place.name)),
            );
            Value::Object(config)
        });
        worker.rest().create(&names[0], &source.unwrap()).await;
        let mut sink = place.sink(&url);
        sink["topics"] = json!(format!("{}_2_t", place.name));
        place.run("DROP TABLE IF EXISTS copy").await;
        worker.rest().create(&names[1], &sink).await;
        place.wait_same(worker.rest(), &names).await;
        for name in &names {
            worker.rest().remove(name).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_damaged_under_tls_lose_and_double_nothing() {
    let (worker, mut random) = (lab().own_worker(&unique("damaged-tls")), Random::new());
    let servers = Arc::new(Encrypted::start(lab().scratch()));
    let administrator = &mut servers.mariadb.connect("mysql").await;
    // After a damaged length each side waits for bytes of the other; a server ends that after 30 s by default.
    mariadb::run(administrator, "SET GLOBAL net_read_timeout = 2").await;
    for protocol in [Protocol::MySql, Protocol::Postgres] {
        let place = Place::on(protocol, Some(Arc::clone(&servers))).await;
        let relay = Hostile::start(protocol, place.port()).await;
        let url = place.url(relay.port());
        let names = [
            format!("{}-source", place.name),
            format!("{}-sink", place.name),
        ];
        worker.rest().create(&names[0], &place.source(&url)).await;
        worker.rest().create(&names[1], &place.sink(&url)).await;
        // a handshake has about 3,000 bytes: most connections come to be, none lives long
        relay.be(Mood::Damaging(random.fork(), 8000));
        let damaged = async || {
            restart_failed(worker.rest(), &names).await;
            place.insert(5).await;
            assert_sound(&worker, &format!("{protocol:?}"));
            relay.reported() > 10
        };
        // Each ends a connection at once, or after tens of seconds if it was in a length, and the tasks wait longer after
        // each: ten may take minutes.
        for_condition("10 damages", SOON * 10, damaged).await;
        relay.be(Mood::Honest);
        place.wait_same(worker.rest(), &names).await;
        for name in &names {
            worker.rest().remove(name).await;
        }
    }
}

/// The first packet of a MySQL server (protocol version 10) that wants the password by that plug-in.
pub(crate) fn greeting(plugin: &str) -> Vec<u8> {
    let mut out = b"\x0a10.11.6-MariaDB\0\x07\0\0\0AAAAAAAA\0".to_vec();
    out.extend(b"\x8d\xa2\x2d\x02\0\x0f\0\x15\0\0\0\0\0\0\0\0\0\0BBBBBBBBBBBB\0");
    out.extend(plugin.as_bytes());
    out.push(0);
    let length = u32::try_from(out.len()).unwrap().to_le_bytes();
    [&length[..3], &[0], &out].concat()
}

#[tokio::test]
async fn a_server_that_asks_for_the_password_as_it_is_in_its_greeting_does_not_get_it() {
    const PASSWORD: &str = "CANARY-as-it-is";
    for (plugin, logs_in) in [
        ("mysql_native_password", true),
        ("mysql_clear_password", false),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&greeting(plugin)).await.unwrap();
            let mut heard = vec![0; 4096];
            let length = stream.read(&mut heard).await.unwrap();
            heard.truncate(length);
            heard
        });
        let config = json!({"connector.class": "JdbcSource", "name": "asked", "mode": "bulk", "topic.prefix": "asked_",
            "connection.url": format!("jdbc:mysql://127.0.0.1:{port}/d"), "connection.user": "u",
            "connection.password": PASSWORD, "connection.attempts": "1"});
        let rest = lab().worker().rest();
        let answer = rest
            .put("/connector-plugins/JdbcSource/config/validate", &config)
            .await
            .expect(200);
        assert!(
            answer.body["error_count"].as_i64() > Some(0),
            "{}",
            answer.text
        );
        let heard = heard.await.unwrap();
        assert_eq!(!heard.is_empty(), logs_in, "{plugin}");
        assert!(
            !heard
                .windows(PASSWORD.len())
                .any(|part| part == PASSWORD.as_bytes()),
            "{plugin}"
        );
    }
}

/// Says `greeting`, switches the plug-in and asks for all of the password, as a server without TLS does whose cache does not
/// know the user. Returns what the client says then: a request for the server's key is one byte, 2.
async fn asked_for_all(listener: tokio::net::TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut heard = vec![0; 4096];
    stream
        .write_all(&greeting("mysql_native_password"))
        .await
        .unwrap();
    let _login = stream.read(&mut heard).await.unwrap();
    let switch = [
        &b"\x2c\0\0\x02\xfecaching_sha2_password\0"[..],
        b"abcdefghijabcdefghij\0",
    ]
    .concat();
    stream.write_all(&switch).await.unwrap();
    let _scramble = stream.read(&mut heard).await.unwrap();
    stream.write_all(b"\x02\0\0\x04\x01\x04").await.unwrap();
    let length = stream.read(&mut heard).await.unwrap();
    heard.truncate(length);
    heard
}

#[tokio::test]
async fn a_server_without_tls_is_not_asked_for_a_key_of_its_own_unless_the_url_allows_it() {
    for (params, asks) in [
        ("", false),
        ("?sslMode=DISABLED", false),
        ("?allowPublicKeyRetrieval=true", true),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(asked_for_all(listener));
        let config = json!({"connector.class": "JdbcSource", "name": "asked", "mode": "bulk", "topic.prefix": "asked_",
            "connection.url": format!("jdbc:mysql://127.0.0.1:{port}/d{params}"), "connection.user": "u",
            "connection.password": "pw", "connection.attempts": "1"});
        let rest = lab().worker().rest();
        let answer = rest
            .put("/connector-plugins/JdbcSource/config/validate", &config)
            .await
            .expect(200);
        assert_eq!(
            heard.await.unwrap() == b"\x01\0\0\x05\x02",
            asks,
            "{params}"
        );
        assert_eq!(
            answer.text.contains("or set allowPublicKeyRetrieval=true"),
            !asks,
            "{}",
            answer.text
        );
    }
}
