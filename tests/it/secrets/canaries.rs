//! Canaries: connectors that fail in as many ways as there are secrets, and a search for these secrets in everything that a
//! worker outputs.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Rest, Rowferry, SchemaRegistry, Secure, Settings, for_condition, unique};

use super::texts::{failed, with_environment};
use super::{MARK, Users, assert_hidden, every_get, shows_configs, with};
use crate::command_line::{local, printed, program};
use crate::{SOON, lab};

/// The password of a database user, with what URLs, SQL and JSON want escaped.
const PASSWORD: &str = "CANARY/pw'\"@4711 %";

/// The worker's log at its loudest, and everything else that it may tell.
#[tokio::test]
async fn no_secret_is_shown_anywhere_however_connectors_fail() {
    let (name, users, registry) = (unique("coalmine"), Users::new(), SchemaRegistry::start());
    registry.require("Basic nobody");
    let mut database = lab().mariadb().create_database(&name).await;
    let quoted = PASSWORD.replace('\'', "''");
    let sql = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(5)); INSERT INTO t VALUES (1, 'a'); \
         CREATE USER '{name}'@'%' IDENTIFIED BY '{quoted}'; GRANT ALL ON {name}.* TO '{name}'@'%'"
    );
    run(&mut database, &sql).await;
    let settings =
        Settings::serve(&name, lab().kafka().brokers()).with("rowferry.log.level", "trace");
    let settings = with_environment(users.admitted(settings))
        .with("of.column", "CANARY-column")
        .with("of.token", "CANARY-token-of-a-registry")
        .with("rowferry.log.format", "text");
    let worker = Rowferry::start(lab().scratch(), settings);
    let admin = users.of("admin", worker.rest());
    let source = json!({
        "connector.class": "JdbcSource", "mode": "bulk", "table.whitelist": "t", "topic.prefix": format!("{name}-"),
        "connection.url": lab().mariadb().jdbc_url(&name), "connection.user": name, "connection.password": PASSWORD,
        "connection.attempts": "1", "poll.interval.ms": "200",
    });

    let mut connectors = running(&admin, &name, &source, &registry).await;
    refused(&admin, &source).await;
    let letters = dead_letters(&admin, &name, &source).await;
    connectors.push("letters".to_owned());

    // The user's password is another one from now on: new connections are refused.
    run(
        &mut database,
        &format!("ALTER USER '{name}'@'%' IDENTIFIED BY 'other'"),
    )
    .await;
    for connector in ["denied", "letters"] {
        admin
            .post(
                &format!("/connectors/{connector}/restart?includeTasks=true"),
                &json!({}),
            )
            .await
            .expect(202);
        let status = failed(&admin, connector).await;
        assert!(status.contains("1045"), "{status}");
    }
    let names: Vec<&str> = connectors.iter().map(String::as_str).collect();
    assert_hidden("a dead letter", &letters);
    nothing_is_told(&worker, &users, &names).await;
}

/// Looks through every answer, for each role, what the command line prints, the log, and the process's arguments.
async fn nothing_is_told(worker: &Rowferry, users: &Users, names: &[&str]) {
    for role in ["viewer", "operator", "admin"] {
        for (path, text) in every_get(&users.of(role, worker.rest()), names).await {
            if role != "admin" || !shows_configs(&path) {
                assert_hidden(&format!("{path} to a {role}"), &text);
            }
            // Not even in configs: the value of a reference.
            assert!(
                !text.contains("CANARY-column") && !text.contains("CANARY-token"),
                "{path} to a {role}: {text}"
            );
        }
    }
    for verb in ["describe", "status", "history"] {
        for name in names.iter().copied() {
            assert_hidden(
                &format!("rowferry {verb} {name}"),
                &users.command_line("admin", worker.rest(), &[verb, name]),
            );
        }
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", worker.pid())).unwrap();
    assert_hidden("the arguments", &String::from_utf8_lossy(&arguments));
    let log = worker.log();
    assert!(
        log.contains(" TRACE ") && log.len() > 20_000,
        "the log is loud"
    );
    assert_hidden("the log", &log);
    for token in users.tokens() {
        assert!(!log.contains(token), "the log shows no token");
    }
}

/// Connectors that are accepted and then fail or wait.
async fn running(
    rest: &Rest,
    name: &str,
    source: &Value,
    registry: &SchemaRegistry,
) -> Vec<String> {
    let avro = |more: Value| {
        with(
            &with(
                source,
                json!({"value.converter": "io.confluent.connect.avro.AvroConverter",
            "value.converter.schema.registry.url": registry.url()}),
            ),
            prefixed("value.converter.", more),
        )
    };
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"ann\" password=\"CANARY-of-kafka\";";
    let sasl = json!({"producer.override.bootstrap.servers": lab().kafka().secure().sasl(),
        "producer.override.security.protocol": "SASL_PLAINTEXT", "producer.override.sasl.mechanism": "PLAIN",
        "producer.override.sasl.jaas.config": jaas});
    let query = json!({"table.whitelist": null, "query.masked": "SELECT 1 FROM FROM t WHERE pin='CANARY-in-a-query'"});
    let routed = json!({"transforms": "r", "transforms.r.type": "RegexRouter", "transforms.r.regex": ".*",
        "transforms.r.replacement": "no ${env:CONNECT_OF_COLUMN}"});
    let configs = [
        ("denied", source.clone()),
        (
            "column",
            with(
                source,
                json!({"mode": "incrementing", "incrementing.column.name": "${env:CONNECT_OF_COLUMN}"}),
            ),
        ),
        ("query", without_nulls(with(source, query))),
        (
            "user_info",
            avro(
                json!({"basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "me:CANARY-user-info"}),
            ),
        ),
        (
            "bearer",
            avro(json!({"bearer.auth.token": "${env:CONNECT_OF_TOKEN}"})),
        ),
        (
            "in_url",
            avro(
                json!({"schema.registry.url": registry.url().replace("//", "//me:CANARY%2Fin-a-url@")}),
            ),
        ),
        ("kafka", with(source, sasl)),
        ("topic", with(source, routed)),
    ];
    let mut names = Vec::new();
    for (connector, config) in configs {
        rest.create(connector, &config).await;
        names.push(connector.to_owned());
    }
    for (connector, says) in [
        ("column", "${env:CONNECT_OF_COLUMN}"),
        ("query", "the database refused (1064"),
        ("user_info", "schema registry"),
        ("bearer", "schema registry"),
        ("in_url", "schema registry"),
        ("kafka", ""),
        ("topic", ""),
    ] {
        for_condition(
            &format!("{connector} of {name} reports its error"),
            SOON,
            async || {
                let status = rest
                    .get(&format!("/connectors/{connector}/status"))
                    .await
                    .text;
                (status.contains("FAILED") || status.contains("warning")) && status.contains(says)
            },
        )
        .await;
    }
    names
}

/// Configs that validation refuses, each with its texts.
async fn refused(rest: &Rest, source: &Value) {
    let url = lab().mariadb().jdbc_url("d");
    let place = url.split("//").nth(1).unwrap();
    for more in [
        json!({"connection.password": "CANARY-wrong"}),
        json!({"connection.url": "jdbc:mysql://127.0.0.1:1/d"}),
        json!({"connection.url": format!("jdbc:mysql://u:CANARY/in-url@{place}")}),
        json!({"connection.url": format!("jdbc:mysql://u:CANARY%2Fin-url@{place}"), "connection.user": null, "connection.password": null}),
        json!({"connection.url": format!("{url}?sslMode=VERIFY_CA")}),
        json!({"connection.url": format!("{url}?sslMode=NOSUCH&password=CANARY")}),
        json!({"tasks.max": "none"}),
        json!({"topic.prefix": "no ${env:CONNECT_OF_COLUMN} "}),
        json!({"connector.class": null}),
        json!({"producer.override.sasl.jaas.config": "CANARY is no login module", "connection.url": "jdbc:mysql://127.0.0.1:1/d"}),
        json!({"connection.url": "jdbc:postgresql://u:CANARY@127.0.0.1:1,127.0.0.1:x/d"}),
        json!({"value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "http://me:CANARY/1@h"}),
        json!({"mode": "incrementing", "incrementing.column.name": "${env:CONNECT_OF_COLUMN}", "timestamp.delay.interval.ms": "${env:CONNECT_OF_COLUMN}"}),
    ] {
        let config = without_nulls(with(source, more));
        let answer = rest
            .post("/connectors", &json!({"name": "refused", "config": config}))
            .await
            .expect(400);
        assert_hidden(&format!("the refusal of {config}"), &answer.text);
    }
}

/// A sink whose records are refused, and the headers of its dead letters.
async fn dead_letters(rest: &Rest, name: &str, source: &Value) -> String {
    let (topics, topic, dead) = (
        lab().kafka().topics(),
        format!("{name}-in"),
        format!("{name}-dead"),
    );
    topics.create(&topic, 1).await;
    let record = r#"{"schema":{"type":"struct","fields":[{"field":"id","type":"int32"}]},"payload":{"id":1}}"#;
    topics.produce(&topic, &[(None, Some(record)), (None, Some("no JSON"))]);
    let sink = json!({
        "connector.class": "JdbcSink", "topics": topic, "table.name.format": "t", "insert.mode": "insert", "pk.mode": "none",
        "transforms": "k", "transforms.k.type": "ValueToKey", "transforms.k.fields": "${env:CONNECT_OF_COLUMN}", "errors.tolerance": "all",
        "errors.deadletterqueue.topic.name": dead, "errors.deadletterqueue.topic.replication.factor": "1",
        "errors.deadletterqueue.context.headers.enable": "true", "errors.log.enable": "true",
    });
    let mut config = with(source, sink);
    for key in [
        "mode",
        "table.whitelist",
        "topic.prefix",
        "poll.interval.ms",
    ] {
        config.as_object_mut().unwrap().remove(key);
    }
    rest.create("letters", &config).await;
    let letters = topics.wait_for(&dead, 2, SOON).await;
    let text = |value: &Option<Vec<u8>>| {
        String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
    };
    let headers = letters.iter().flat_map(|letter| letter.headers.iter());
    let reported = headers
        .map(|(key, value)| format!("{key}={}\n", text(value)))
        .collect::<String>();
    assert!(
        reported.contains("exception.message=") && reported.contains("${env:CONNECT_OF_COLUMN}"),
        "{reported}"
    );
    reported
}

fn prefixed(prefix: &str, pairs: Value) -> Value {
    pairs
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (format!("{prefix}{key}"), value.clone()))
        .collect()
}

fn without_nulls(mut config: Value) -> Value {
    config
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    config
}

/// Secrets of the worker's own settings: of Kafka, of the metadata store, of a default converter.
#[tokio::test]
async fn the_workers_own_secrets_are_shown_nowhere() {
    let (name, secure) = (unique("own_secrets"), lab().kafka().secure());
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{}\" password=\"CANARY-of-the-worker\";",
        Secure::USER
    );
    let settings = Settings::serve(&name, secure.sasl())
        .with("security.protocol", "SASL_PLAINTEXT")
        .with("sasl.mechanism", "PLAIN")
        .with("sasl.jaas.config", &jaas)
        .with(
            "value.converter.basic.auth.user.info",
            "me:CANARY-of-a-converter",
        )
        .with("rowferry.log.level", "trace");
    let worker = Rowferry::start(lab().scratch(), settings);
    let rest = worker.rest();
    for_condition("the worker says that Kafka refuses it", SOON, async || {
        rest.get("/health")
            .await
            .text
            .to_lowercase()
            .contains("authentication")
    })
    .await;
    for (path, text) in every_get(rest, &["nothing"]).await {
        assert_hidden(&path, &text);
    }
    assert!(worker.log().contains(Secure::USER) || worker.log().contains("uthentication"));
    assert_hidden("the log", &worker.log());
    let pairs = [
        (
            "rowferry.store.url",
            format!("mysql://u:{MARK}/x@127.0.0.1:1/d"),
        ),
        ("sasl.jaas.config", jaas),
    ];
    let mut command = program(&["serve", "--print-config"]);
    command.args(
        pairs
            .iter()
            .flat_map(|(k, v)| ["--set".to_owned(), format!("{k}={v}")]),
    );
    let (out, _, code) = printed(&mut command);
    assert_eq!(code, Some(0));
    assert_hidden("--print-config", &out);
    let store = format!(
        "rowferry.store.url=mysql://{}:{MARK}%2Fx@127.0.0.1:1/d",
        MariaDb::USER
    );
    let listen = "listeners=http://127.0.0.1:0";
    let (_, errors, code) = local(&["serve", "--set", listen, "--set", &store]);
    assert_ne!(code, Some(0));
    assert_hidden("standard error", &errors);
}
