//! What errors, statuses and logs say of secrets, and of words that come from outside.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Postgres, Rest, Rowferry, Settings, for_condition, unique};

use super::{assert_hidden, with};
use crate::command_line::on;
use crate::{SOON, lab};

/// The status of a connector once one of its tasks, or itself, has failed.
pub(super) async fn failed(rest: &Rest, name: &str) -> String {
    let mut last = String::new();
    for_condition(&format!("{name} fails"), SOON, async || {
        last = rest.get(&format!("/connectors/{name}/status")).await.text;
        last.contains("FAILED")
    })
    .await;
    last
}

const VALIDATE: &str = "/connector-plugins/JdbcSource/config/validate";

#[tokio::test]
async fn a_password_in_a_url_is_never_shown_whatever_it_contains() {
    let worker = Rowferry::start(lab().scratch(), Settings::dev(&unique("urls")));
    let rest = worker.rest();
    let config = json!({"connector.class": "JdbcSource", "name": "x", "mode": "bulk", "table.whitelist": "t",
        "topic.prefix": "x"});
    for password in [
        "CANARY1/x",
        "1/CANARY",
        "CANARY@x",
        "CANARY#x",
        "CANARY?x",
        "1?a=CANARY",
        "CANARY:x",
        "CANARY%x",
        "CANARY x",
        "CANARY%2Fx",
    ] {
        for url in [
            format!("jdbc:mysql://u:{password}@127.0.0.1:1/d"),
            format!("postgres://u:{password}@127.0.0.1:1/d"),
            format!("jdbc:oracle:thin:u/{password}@127.0.0.1:1/d"),
            format!("jdbc:mariadb://127.0.0.1:1/d?user=u&password={password}"),
            format!("jdbc:mysql:u:{password}@127.0.0.1:1/d"),
        ] {
            let config = with(&config, json!({"connection.url": url}));
            let checked = rest.put(VALIDATE, &config).await.expect(200);
            let configs = checked.body["configs"].as_array().unwrap().clone();
            let errors: Vec<_> = configs
                .iter()
                .map(|c| c["value"]["errors"].to_string())
                .collect();
            assert!(errors.concat().contains("Could not connect"), "{errors:?}");
            assert_hidden(&format!("validation of {url}"), &errors.concat());
            let refused = rest
                .post("/connectors", &json!({"name": "x", "config": config}))
                .await
                .expect(400);
            assert_hidden(&format!("the refusal of {url}"), &refused.text);
        }
    }
    assert_hidden("the log", &worker.log());
}

/// Queries that each server refuses, quoting them.
async fn a_masked_query_is_not_quoted(url: String, user: &str, password: &str, queries: &[&str]) {
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::dev(&unique("quiet")).with("rowferry.log.level", "trace"),
    );
    let rest = worker.rest();
    for (n, query) in queries.iter().enumerate() {
        let config = json!({"connector.class": "JdbcSource", "mode": "bulk", "topic.prefix": "x", "connection.url": url,
            "connection.user": user, "connection.password": password, "query.masked": query});
        let checked = rest
            .put(VALIDATE, &with(&config, json!({"name": "x"})))
            .await
            .expect(200);
        assert!(
            checked.text.contains("the database refused ("),
            "{}",
            checked.text
        );
        assert_hidden("validation", &checked.text);
        let created = rest
            .post(
                "/connectors",
                &json!({"name": format!("q{n}"), "config": config}),
            )
            .await;
        if created.status == 201 {
            let status = failed(rest, &format!("q{n}")).await;
            assert!(
                status.contains("the database refused (")
                    && status.contains("its text is not shown"),
                "{status}"
            );
            assert_hidden("the status", &status);
        } else {
            assert_hidden("the refusal", &created.expect(400).text);
        }
    }
    assert_hidden("the log", &worker.log());
}

#[tokio::test]
async fn a_masked_query_is_never_quoted_by_mariadb() {
    let name = unique("masked_query");
    lab().mariadb().create_database(&name).await;
    let queries = [
        "SELECT 1 FROM FROM t WHERE pin='CANARY2'",
        "SELECT canary_column FROM (SELECT 1 AS a) AS t",
        "SELECT * FROM canary_table",
        "SELECT CANARY_FUNCTION(1)",
        "SELECT CAST('x' AS CANARY)",
    ];
    a_masked_query_is_not_quoted(
        lab().mariadb().jdbc_url(&name),
        MariaDb::USER,
        MariaDb::PASSWORD,
        &queries,
    )
    .await;
}

#[tokio::test]
async fn a_masked_query_is_never_quoted_by_postgresql() {
    let name = unique("masked_query");
    lab().postgres().create_database(&name).await;
    let queries = [
        "SELECT 1 FROM FROM t WHERE pin='CANARY2'",
        "SELECT \"canary_column\" FROM (SELECT 1 AS a) AS t",
        "SELECT 'CANARY3'::integer AS a",
        "SELECT canary_function(1)",
    ];
    a_masked_query_is_not_quoted(
        lab().postgres().jdbc_url(&name),
        Postgres::USER,
        Postgres::PASSWORD,
        &queries,
    )
    .await;
}

/// A worker that may read `CONNECT_OF_…` from its environment.
pub(super) fn with_environment(settings: Settings) -> Settings {
    settings
        .with("config.providers", "env")
        .with(
            "config.providers.env.class",
            "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        )
        .with(
            "config.providers.env.param.allowlist.pattern",
            "CONNECT_OF_.*",
        )
}

#[tokio::test]
async fn traces_and_logs_show_a_reference_and_not_its_value() {
    let name = unique("referred");
    let mut connection = lab().mariadb().create_database(&name).await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let settings = with_environment(Settings::dev(&name).with("rowferry.log.level", "trace"));
    let settings = settings
        .with("of.column", "CANARY-4711")
        .with("of.short", "id")
        .with("of.flag", "true");
    let worker = Rowferry::start(lab().scratch(), settings);
    let rest = worker.rest();
    let config = json!({"connector.class": "JdbcSource", "mode": "incrementing", "table.whitelist": "t",
        "topic.prefix": "x", "connection.url": lab().mariadb().jdbc_url(&name), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "incrementing.column.name": "${env:CONNECT_OF_COLUMN}",
        "validate.non.null": "${env:CONNECT_OF_FLAG}"});
    rest.create("s", &config).await;
    let status = failed(rest, "s").await;
    assert!(
        status.contains("Incrementing column: ${env:CONNECT_OF_COLUMN} does not exist in table"),
        "{status}"
    );
    assert_hidden("the status", &status);
    assert_hidden(
        "the history",
        &rest.get("/v1/connectors/s/history").await.text,
    );
    // Short and common values leave texts as they are.
    let short = with(
        &config,
        json!({"incrementing.column.name": "${env:CONNECT_OF_SHORT}", "table.whitelist": "nothing"}),
    );
    let checked = rest
        .put(VALIDATE, &with(&short, json!({"name": "x"})))
        .await
        .expect(200);
    assert!(
        !checked.body["configs"].to_string().contains("val${env"),
        "{}",
        checked.text
    );
    for_condition("the log reports the failure", SOON, async || {
        worker.log().contains("${env:CONNECT_OF_COLUMN}")
    })
    .await;
    assert_hidden("the log", &worker.log());
}

#[tokio::test]
async fn words_from_outside_make_no_lines_in_logs_statuses_and_on_terminals() {
    const FORGED: &str = "2030-01-01T00:00:00Z ERROR forged";
    let name = unique("forged");
    let mut connection = lab().mariadb().create_database(&name).await;
    let table = format!("t\n{FORGED}\r\u{1b}[2J\u{202e}\u{2028}");
    run(&mut connection, &format!("CREATE TABLE `{table}` (a INT)")).await;
    for format in ["text", "json"] {
        let settings =
            Settings::dev(&format!("{name}-{format}")).with("rowferry.log.format", format);
        let worker = Rowferry::start(lab().scratch(), settings);
        let rest = worker.rest();
        let config = json!({"connector.class": "JdbcSource", "mode": "incrementing", "topic.prefix": "x",
            "connection.url": lab().mariadb().jdbc_url(&name), "connection.user": MariaDb::USER,
            "connection.password": MariaDb::PASSWORD, "table.include.list": ".*forged(.|\\s)*",
            "incrementing.column.mapping": ".*:[id]"});
        rest.create("s", &config).await;
        let status: Value = serde_json::from_str(&failed(rest, "s").await).unwrap();
        let part = if status["connector"]["state"] == "FAILED" {
            &status["connector"]
        } else {
            &status["tasks"][0]
        };
        let trace = part["trace"].as_str().unwrap();
        assert!(trace.contains("forged"), "the table is named: {trace:?}");
        let is_forged = |line: &str| line.trim_start().starts_with("2030-01-01");
        let deceives =
            |c: char| c != '\n' && (c.is_control() || ['\u{202e}', '\u{2028}'].contains(&c));
        assert!(
            !trace.lines().any(is_forged) && !trace.contains(deceives),
            "{trace:?}"
        );
        for_condition("the log names the table", SOON, async || {
            worker.log().contains("ERROR forged")
        })
        .await;
        let log = worker.log();
        assert!(
            !log.lines().any(is_forged) && !log.contains(deceives),
            "{log:?}"
        );
        let (printed, ..) = on(rest.base(), &["status", "s"]);
        assert!(
            printed.contains("forged") && !printed.contains(deceives),
            "{printed:?}"
        );
    }
}
