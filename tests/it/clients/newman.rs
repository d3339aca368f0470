//! Postman's command-line runner over the example collection, from top to bottom.

use std::process::Command;

use testkit::mariadb::run;
use testkit::{MariaDb, node_program, unique};

use super::text_of;
use crate::lab;

#[tokio::test(flavor = "multi_thread")]
async fn the_postman_collection_runs_from_top_to_bottom() {
    let name = unique("postman");
    let mut connection = lab().mariadb().create_database(&name).await;
    let rows = "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT); INSERT INTO users (name) VALUES ('a')";
    run(&mut connection, rows).await;
    let worker = lab().own_worker(&name);
    let variables = [
        ("rowferry", worker.rest().base().to_owned()),
        ("jdbc_url", lab().mariadb().jdbc_url(&name)),
        ("user", MariaDb::USER.to_owned()),
        ("password", MariaDb::PASSWORD.to_owned()),
        ("prefix", format!("{name}_")),
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
}
