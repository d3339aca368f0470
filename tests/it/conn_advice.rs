//! `rowferry conn discover` and `conn doctor`: what a database has, and what connectors lack, in words that say what to do.

use serde_json::{Value, json};
use testkit::mariadb::run;
use testkit::{MariaDb, Rowferry, Settings, unique};

use crate::command_line::{Printed, printed, program};
use crate::lab;

/// Runs a command that finds the password of the database in its environment.
fn cli(worker: &Rowferry, args: &[&str]) -> Printed {
    let mut command = program(args);
    command.args(["--server", worker.rest().base()]);
    printed(command.env("ROWFERRY_DB_PASSWORD", MariaDb::PASSWORD))
}

#[tokio::test]
async fn tables_are_discovered_with_their_modes_and_a_doctor_says_what_a_config_lacks() {
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique("advice"), lab().kafka().brokers()),
    );
    let database = unique("advice");
    let mut sql = lab().mariadb().create_database(&database).await;
    run(&mut sql, "CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, created_at DATETIME NOT NULL DEFAULT now(), \
                   updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, n INT)").await;
    run(
        &mut sql,
        "CREATE TABLE notes (code VARCHAR(10) PRIMARY KEY, t TEXT)",
    )
    .await;
    let url = lab().mariadb().jdbc_url(&database);
    let (text, error, code) = cli(
        &worker,
        &[
            "conn",
            "discover",
            &url,
            "--db-user",
            MariaDb::USER,
            "-o",
            "json",
        ],
    );
    assert_eq!(code, Some(0), "{error}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let modes = |table: usize| -> Vec<String> {
        let modes = found["tables"][table]["modes"].as_array().unwrap();
        modes
            .iter()
            .map(|mode| {
                format!(
                    "{} {}",
                    mode["mode"].as_str().unwrap(),
                    mode["timestamp.column.name"].as_str().unwrap_or("-")
                )
            })
            .collect()
    };
    let polled: Vec<_> = modes(1)
        .into_iter()
        .filter(|mode| mode != "cdc -")
        .collect();
    assert_eq!(
        found["tables"][1]["table"],
        json!(format!("{database}.orders"))
    );
    assert_eq!(
        polled,
        [
            "timestamp+incrementing updated_at",
            "timestamp+incrementing created_at",
            "timestamp updated_at",
            "timestamp created_at",
            "incrementing -",
            "bulk -",
        ]
    );
    assert!(
        modes(0).contains(&"bulk -".to_owned()) && !modes(0).contains(&"incrementing -".to_owned())
    );
    let proposed = &found["proposed"]["config"];
    assert_eq!(proposed["topic.prefix"], json!(format!("{database}-")));
    assert!(
        !text.contains(MariaDb::PASSWORD) && proposed["connection.password"].is_null(),
        "{text}"
    );

    let folder = lab().scratch().path().join(&database);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |more: Value| {
        let mut config = proposed.clone();
        config["connection.password"] = json!(MariaDb::PASSWORD);
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let path = folder.join("c.json");
        std::fs::write(
            &path,
            json!({"name": "advised", "config": config}).to_string(),
        )
        .unwrap();
        path.display().to_string()
    };
    let orders = json!({"mode": "incrementing", "table.whitelist": format!("{database}.orders")});
    let (text, error, code) = cli(&worker, &["conn", "doctor", "-f", &write(orders.clone())]);
    assert_eq!(code, Some(0), "{text}{error}");
    for line in [
        "ok      health",
        "ok      connection",
        "ok      privileges",
        "ok      config",
        "ok      table",
        "clock",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    for (more, part) in [
        (
            json!({"connection.password": "wrong"}),
            "correct connection.user and connection.password",
        ),
        (
            json!({"connection.url": "jdbc:mariadb://127.0.0.1:1/x"}),
            "correct host and port in connection.url",
        ),
        (json!({"mode": "nonsense"}), "bad     config"),
        (
            json!({"table.whitelist": format!("{database}.notes")}),
            "has no auto-increment column",
        ),
    ] {
        let mut config = orders.clone();
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (text, error, code) = cli(&worker, &["conn", "doctor", "-f", &write(config)]);
        assert_eq!(code, Some(1), "{text}{error}");
        assert!(
            text.contains(part) && error.contains("not good"),
            "{part}: {text}{error}"
        );
    }
    let left = worker.rest().get("/connectors").await.expect(200).body;
    assert_eq!(left, json!([]), "nothing was created");
}
