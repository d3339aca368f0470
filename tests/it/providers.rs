//! Config providers: references in configs are used and never resolved where somebody sees them.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Rest, Rowferry, Settings, for_condition, unique};

use crate::{SOON, lab};

const CLASSES: &str = "org.apache.kafka.common.config.provider";
/// Nothing but the database may see it.
const PASSWORD: &str = "C4NARY-pa55";

#[tokio::test]
async fn references_are_used_and_shown_as_they_are_written() {
    let name = unique("referred");
    let mut connection = lab().mariadb().create_database(&name).await;
    let sql = format!(
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE USER '{name}'@'%' IDENTIFIED BY \
         '{PASSWORD}'; GRANT SELECT ON {name}.* TO '{name}'@'%'"
    );
    run(&mut connection, &sql).await;
    let folder = lab().scratch().path().join(format!("{name}-secrets"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("db.properties"),
        format!("user={name}\npassword={PASSWORD}\n"),
    )
    .unwrap();
    let worker = Rowferry::start(
        lab().scratch(),
        settings(&name, &folder.display().to_string()),
    );
    let rest = worker.rest();

    let secrets = format!("${{file:{}/db.properties", folder.display());
    let config = json!({
        "connector.class": "JdbcSourceConnector", "connection.url": lab().mariadb().jdbc_url(&name),
        "connection.user": format!("{secrets}:user}}"), "connection.password": format!("{secrets}:password}}"),
        "mode": "incrementing", "incrementing.column.name": "id", "table.whitelist": "t",
        "topic.prefix": "${env:CONNECT_OF_TOPICS}", "poll.interval.ms": "200"});
    rest.create("s", &config).await;
    rest.wait_state("s", "RUNNING", SOON).await;
    lab()
        .kafka()
        .topics()
        .wait_for(&format!("{name}-t"), 2, SOON)
        .await;
    let mut stored = rest.get("/connectors/s/config").await.expect(200).body;
    stored.as_object_mut().unwrap().remove("name");
    assert_eq!(stored, config, "the config comes back as it was given");
    assert_eq!(
        rest.get("/connectors/s/tasks").await.body[0]["config"]["connection.user"],
        config["connection.user"]
    );
    nothing_shows_the_password(rest, &config).await;
    assert!(!worker.log().contains(PASSWORD), "the log");

    // What may not be given out, and what is not there.
    for (key, value, says) in [
        (
            "connection.password",
            "${file:/etc/passwd:root}",
            "is not in the provider's allowed.paths",
        ),
        ("connection.password", "${env:PATH}", "does not allow PATH"),
        (
            "connection.user",
            &format!("{secrets}:nobody}}"),
            "has no key nobody",
        ),
    ] {
        let mut wrong = config.clone();
        wrong[key] = json!(value);
        let refused = rest
            .post("/connectors", &json!({"name": "wrong", "config": wrong}))
            .await
            .expect(400);
        assert!(
            refused.message().contains(key) && refused.message().contains(says),
            "{}",
            refused.text
        );
    }
    // It is missing when the task starts again: that is reported, and it is used once it is back.
    std::fs::rename(folder.join("db.properties"), folder.join("gone")).unwrap();
    rest.post("/connectors/s/restart?includeTasks=true", &json!({}))
        .await
        .expect(202);
    for_condition("the status names the file", SOON, async || {
        let status = rest.get("/connectors/s/status").await.text;
        status.contains("FAILED") && status.contains("db.properties")
    })
    .await;
    std::fs::rename(folder.join("gone"), folder.join("db.properties")).unwrap();
    rest.wait_state("s", "RUNNING", SOON).await;
    nothing_shows_the_password(rest, &config).await;
}

fn settings(name: &str, folder: &str) -> Settings {
    // The kit passes keys as CONNECT_… variables, which a reference can name.
    let brokers = "${env:CONNECT_OF_BROKERS}".to_owned();
    Settings::serve(name, brokers)
        .with("of.brokers", &lab().kafka().brokers())
        .with("of.topics", &format!("{name}-"))
        .with("config.providers", "env,file")
        .with(
            "config.providers.env.class",
            &format!("{CLASSES}.EnvVarConfigProvider"),
        )
        .with(
            "config.providers.env.param.allowlist.pattern",
            "CONNECT_OF_.*",
        )
        .with(
            "config.providers.file.class",
            &format!("{CLASSES}.FileConfigProvider"),
        )
        .with("config.providers.file.param.allowed.paths", folder)
}

async fn nothing_shows_the_password(rest: &Rest, config: &Value) {
    for path in [
        "/connectors/s",
        "/connectors/s/config",
        "/connectors/s/status",
        "/connectors/s/tasks",
        "/connectors/s/offsets",
        "/connectors/s/topics",
        "/connectors?expand=info&expand=status",
        "/v1/connectors/s/history",
    ] {
        let shown = rest.get(path).await.text;
        assert!(!shown.contains(PASSWORD), "{path}: {shown}");
    }
    let mut wrong = config.clone();
    wrong["tasks.max"] = json!("none");
    let mut names = config.clone();
    names["transforms"] = config["connection.password"].clone();
    names["predicates"] = config["connection.password"].clone();
    for config in [config, &wrong, &names] {
        let shown = rest
            .put(
                "/connector-plugins/JdbcSourceConnector/config/validate",
                config,
            )
            .await
            .expect(200);
        assert!(!shown.text.contains(PASSWORD), "{}", shown.text);
        let configs = shown.body["configs"].as_array().unwrap().clone();
        let prefix = configs
            .iter()
            .find(|config| config["value"]["name"] == "topic.prefix")
            .unwrap();
        assert_eq!(
            prefix["value"]["value"], config["topic.prefix"],
            "a form shows the reference"
        );
    }
}

/// The version of a plug-in changes with the program; here it is what is asked for that changes.
#[tokio::test]
async fn a_stored_connector_that_asks_for_another_version_fails_with_the_one_that_there_is() {
    let name = unique("versioned");
    let mut connection = lab().mariadb().create_database(&name).await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let folder = lab().scratch().path().join(format!("{name}-versions"));
    std::fs::create_dir_all(&folder).unwrap();
    let asked = |range: &str| {
        std::fs::write(folder.join("p.properties"), format!("version={range}\n")).unwrap();
    };
    let worker = Rowferry::start(
        lab().scratch(),
        settings(&name, &folder.display().to_string()),
    );
    let rest = worker.rest();

    asked("[0.0.1,)");
    let version = format!("${{file:{}/p.properties:version}}", folder.display());
    let shared = json!({"connection.url": lab().mariadb().jdbc_url(&name), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "connector.plugin.version": version});
    let with = |more: Value| {
        let mut config = shared.clone();
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config
    };
    let source = with(
        json!({"connector.class": "JdbcSourceConnector", "mode": "incrementing", "table.whitelist": "t",
        "incrementing.column.name": "id", "topic.prefix": format!("{name}-"), "poll.interval.ms": "200"}),
    );
    let sink = with(json!({"connector.class": "JdbcSinkConnector", "topics": name}));
    let both = [("source", &source), ("sink", &sink)];
    for (connector, config) in both {
        rest.create(connector, config).await;
        rest.wait_state(connector, "RUNNING", SOON).await;
    }
    asked("[9.0,)");
    for (connector, config) in both {
        // The value of a reference is not in an answer, so neither is the range.
        let text = "not found that matches the version range ";
        let refused = rest
            .post("/connectors", &json!({"name": "new", "config": config}))
            .await
            .expect(400);
        assert!(refused.message().contains(text), "{}", refused.text);
        rest.post(
            &format!("/connectors/{connector}/restart?includeTasks=true"),
            &json!({}),
        )
        .await
        .expect(202);
        for_condition(
            "the status names the key and the existing ones",
            SOON,
            async || {
                let status = rest
                    .get(&format!("/connectors/{connector}/status"))
                    .await
                    .text;
                [
                    "FAILED",
                    text,
                    "available versions: [",
                    "connector.plugin.version",
                ]
                .iter()
                .all(|part| status.contains(part))
            },
        )
        .await;
    }
    asked("latest");
    for (connector, _) in both {
        rest.post(
            &format!("/connectors/{connector}/restart?includeTasks=true"),
            &json!({}),
        )
        .await
        .expect(202);
        rest.wait_state(connector, "RUNNING", SOON).await;
    }
}
