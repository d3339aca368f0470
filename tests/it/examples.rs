//! What users copy: the example configs are valid, and the Postman collection parses.

use serde_json::Value;
use testkit::mariadb::run;
use testkit::{MariaDb, SqliteFile, project_folder};

use crate::lab;

fn example(name: &str) -> String {
    std::fs::read_to_string(project_folder().join("examples").join(name)).unwrap()
}

#[tokio::test]
async fn every_example_config_passes_validation() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let mut connection = server.connect("mysql").await;
    run(&mut connection, &example("db-to-db/schema.sql")).await;
    run(&mut connection, "CREATE DATABASE IF NOT EXISTS mydb").await;
    let shop = SqliteFile::new(lab().scratch(), "shop");
    shop.connect().await;
    let mut checked = 0;
    for entry in std::fs::read_dir(project_folder().join("examples")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !name.ends_with(".json") || name.ends_with("collection.json") {
            continue;
        }
        let text = example(&name)
            .replace("localhost:3306", &format!("127.0.0.1:{}", server.port()))
            .replace("jdbc:sqlite:", &format!("jdbc:sqlite:{}/", shop.path().parent().unwrap().display()));
        let mut body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if !name.contains("sqlite") {
            assert_eq!(body["config"]["connection.password"], MariaDb::PASSWORD, "{name}");
        }
        body["config"]["name"] = body["name"].clone();
        let class = body["config"]["connector.class"].as_str().unwrap();
        let simple = class.rsplit('.').next().unwrap();
        let path = format!("/connector-plugins/{simple}/config/validate");
        let answer = rest.put(&path, &body["config"]).await.expect(200).body;
        let errors = answer["configs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|config| config["value"]["errors"] != Value::Array(vec![]));
        let errors: Vec<String> = errors.map(|config| config["value"].to_string()).collect();
        assert_eq!((answer["error_count"].as_i64(), errors.as_slice()), (Some(0), &[][..]), "{name}");
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} examples found");
}

#[test]
fn the_postman_collection_has_each_route() {
    let collection: Value = serde_json::from_str(&example("rowferry.postman_collection.json")).unwrap();
    assert_eq!(collection["info"]["schema"], "https://schema.getpostman.com/json/collection/v2.1.0/collection.json");
    let folders = collection["item"].as_array().unwrap();
    let requests = folders.iter().flat_map(|folder| folder["item"].as_array().unwrap());
    let routes: Vec<String> = requests
        .map(|item| {
            format!(
                "{} {}",
                item["request"]["method"].as_str().unwrap(),
                item["request"]["url"]["raw"].as_str().unwrap()
            )
        })
        .collect();
    for wanted in
        ["POST {{rowferry}}/connectors", "PUT {{rowferry}}/connectors/{{connector}}/pause", "GET {{rowferry}}/health"]
    {
        assert!(routes.iter().any(|route| route == wanted), "{wanted} is not in {routes:?}");
    }
}
