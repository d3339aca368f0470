//! Postman's command-line runner over the example collection, from top to bottom.

use std::process::Command;

use testkit::mariadb::run;
use testkit::{MariaDb, node_program, unique};

use super::text_of;
use crate::lab;

const TABLE: &str = "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT)";

/// Runs the whole collection on the table `users` of that database, and returns what it printed.
async fn run_collection(worker: &str, database: &str) -> String {
    let variables = [
        ("rowferry", worker.to_owned()),
        ("jdbc_url", lab().mariadb().jdbc_url(database)),
        ("user", MariaDb::USER.to_owned()),
        ("password", MariaDb::PASSWORD.to_owned()),
        ("prefix", format!("{database}_")),
    ];
    let mut newman = Command::new(node_program("newman"));
    newman.args([
        "run",
        "--color",
        "off",
        "--disable-unicode",
        "--timeout",
        "180000",
    ]);
    newman.arg(testkit::project_folder().join("examples/rowferry.postman_collection.json"));
    for (variable, value) in &variables {
        newman.args(["--env-var", &format!("{variable}={value}")]);
    }
    let output = tokio::task::spawn_blocking(move || newman.output())
        .await
        .unwrap()
        .unwrap();
    let (printed, errors) = (text_of(&output.stdout), text_of(&output.stderr));
    assert!(output.status.success(), "{printed}\n{errors}");
    assert!(
        printed.contains("It is gone"),
        "the last request was made: {printed}"
    );
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postman_collection_runs_from_top_to_bottom_with_and_without_rows_and_again() {
    let name = unique("postman");
    let mut connection = lab().mariadb().create_database(&name).await;
    run(&mut connection, TABLE).await;
    let worker = lab().own_worker(&name);
    let base = worker.rest().base().to_owned();
    let empty = run_collection(&base, &name).await;
    assert!(
        empty.contains("answers 200, or 400 without offsets"),
        "{empty}"
    );
    run(&mut connection, "INSERT INTO users (name) VALUES ('a')").await;
    for _ in ["with rows", "again"] {
        run_collection(&base, &name).await;
    }
}
