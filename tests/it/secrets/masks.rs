//! What of configs is shown to whom, and what becomes of masks that are sent back.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{Rowferry, Settings, unique};

use super::{Users, assert_hidden, every_get, shows_configs, with};
use crate::lab;

/// A database with a table and a user whose password is a secret.
async fn database(name: &str, password: &str) {
    let mut connection = lab().mariadb().create_database(name).await;
    let sql = format!(
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'; \
         GRANT SELECT ON {name}.* TO '{name}'@'%'"
    );
    run(&mut connection, &sql).await;
}

/// Every kind of secret that a connector may have, under the peers' spellings.
fn config(name: &str) -> Value {
    json!({
        "connector.class": "JdbcSource", "mode": "bulk", "topic.prefix": "x",
        "connection.url": lab().mariadb().jdbc_url(name), "connection.user": name, "connection.pass": "CANARY-1",
        "query.masked": "SELECT 'CANARY-2' AS a",
        "value.converter": "io.confluent.connect.avro.AvroConverter",
        "value.converter.schema.registry.url": "http://me:CANARY%2F3@127.0.0.1:1",
        "value.converter.basic.auth.credentials.source": "USER_INFO",
        "value.converter.schema.registry.basic.auth.user.info": "me:CANARY-4",
        "key.converter": "io.confluent.connect.avro.AvroConverter",
        "key.converter.schema.registry.url":
            "http://127.0.0.1:1/?api_key=CANARY-12&pw=CANARY-13&sig=CANARY-14&token=CANARY-15&unheard-of=CANARY-16",
        "auth.header": "CANARY-17",
        "x.auth": "Basic CANARY-18",
        "x.more": "{\"user\": \"u\", \"password\": \"CANARY-19\", \"inner\": {\"apiKey\": \"CANARY-20\"}}",
        "key.converter.bearer.auth.token": "CANARY-5",
        "producer.override.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"CANARY-6\";",
        "producer.override.ssl.key.password": "CANARY-7",
        "producer.override.ssl.keystore.certificate.chain": "CANARY-8",
        "connection.trustStorePassword": "CANARY-9",
        "database.password": "CANARY-10",
    })
}

#[tokio::test]
async fn viewers_and_operators_see_no_secret_and_administrators_see_configs_as_they_were_given() {
    let (name, users) = (unique("masked"), Users::new());
    database(&name, "CANARY-1").await;
    let worker = Rowferry::start(lab().scratch(), users.admitted(Settings::dev(&name)));
    let admin = users.of("admin", worker.rest());
    let given = config(&name);
    let body = json!({"name": "s", "initial_state": "STOPPED", "config": given});
    admin.post("/connectors", &body).await.expect(201);
    let changed = with(
        &given,
        json!({"connection.url": format!("{}?password=CANARY;11", lab().mariadb().jdbc_url(&name))}),
    );
    admin
        .put("/connectors/s/config", &changed)
        .await
        .expect(200);

    for role in ["viewer", "operator"] {
        for (path, text) in every_get(&users.of(role, worker.rest()), &["s"]).await {
            assert_hidden(&format!("{path} to a {role}"), &text);
        }
    }
    for (path, text) in every_get(&admin, &["s"])
        .await
        .into_iter()
        .filter(|(path, _)| !shows_configs(path))
    {
        assert_hidden(&format!("{path} to an admin"), &text);
    }
    let mut stored = admin.get("/connectors/s/config").await.expect(200).body;
    stored.as_object_mut().unwrap().remove("name");
    assert_eq!(stored, changed);
    let checked = admin
        .put(
            "/connector-plugins/JdbcSource/config/validate",
            &with(&given, json!({"name": "new"})),
        )
        .await;
    let shown: Vec<_> = checked.body["configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["value"])
        .collect();
    for value in shown {
        assert_hidden("a form", &value.to_string());
    }
    for verb in ["describe", "history", "status"] {
        let printed = users.command_line("admin", worker.rest(), &[verb, "s"]);
        assert!(
            printed.contains(if verb == "history" {
                "version 1"
            } else {
                "STOPPED"
            }),
            "{printed}"
        );
        assert_hidden(&format!("rowferry {verb}"), &printed);
    }
    assert_hidden("the log", &worker.log());
}

#[tokio::test]
async fn a_mask_that_is_sent_back_keeps_the_stored_value() {
    let (name, users) = (unique("kept"), Users::new());
    database(&name, "CANARY-1").await;
    let worker = Rowferry::start(lab().scratch(), users.admitted(Settings::dev(&name)));
    let (admin, viewer) = (
        users.of("admin", worker.rest()),
        users.of("viewer", worker.rest()),
    );
    let body = json!({"name": "s", "initial_state": "STOPPED", "config": config(&name)});
    admin.post("/connectors", &body).await.expect(201);
    let stored = admin.get("/connectors/s/config").await.expect(200).body;

    // What a viewer is shown, sent back whole: nothing has changed.
    let shown = viewer.get("/connectors/s/config").await.expect(200).body;
    assert_ne!(shown, stored);
    admin.put("/connectors/s/config", &shown).await.expect(200);
    assert_eq!(
        admin.get("/connectors/s/config").await.expect(200).body,
        stored
    );

    // A dry run with masks asks the database with the stored password.
    let checked = admin
        .put("/connector-plugins/JdbcSource/config/validate", &shown)
        .await
        .expect(200);
    assert_eq!(checked.body["error_count"], 0, "{}", checked.text);

    // A patch, with the mask under another spelling of the key, and a URL that has changed elsewhere.
    let registry = "value.converter.schema.registry.url";
    let patch = json!({"connection.password": "[hidden]", "connection.pass": null, "poll.interval.ms": "7000",
        registry: "http://me:****@127.0.0.1:2"});
    admin
        .send(
            "PATCH",
            "/connectors/s/config",
            Some(("application/json", patch.to_string())),
        )
        .await
        .expect(200);
    let mut want = with(
        &stored,
        json!({"connection.password": "CANARY-1", "poll.interval.ms": "7000",
        registry: "http://me:CANARY%2F3@127.0.0.1:2"}),
    );
    want.as_object_mut().unwrap().remove("connection.pass");
    assert_eq!(
        admin.get("/connectors/s/config").await.expect(200).body,
        want
    );

    // A PUT under the first spelling again, with the command line's mask; and one with a new value.
    for (given, kept) in [("********", "CANARY-1"), ("CANARY-1", "CANARY-1")] {
        let mut put = want.clone();
        put.as_object_mut().unwrap().remove("connection.password");
        put["connection.pass"] = json!(given);
        admin.put("/connectors/s/config", &put).await.expect(200);
        let now = admin.get("/connectors/s/config").await.expect(200).body;
        assert_eq!(
            (&now["connection.pass"], now.get("connection.password")),
            (&json!(kept), None)
        );
    }
}
