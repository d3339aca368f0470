//! What users copy: the example configs are valid, and the Postman collection is whole.

use serde_json::Value;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, SqliteFile, for_condition, project_folder};

use crate::{SOON, lab};

/// An example file.
pub fn example(name: &str) -> String {
    std::fs::read_to_string(project_folder().join("examples").join(name)).unwrap()
}

/// The JSON files of the examples and their folders, by their path within.
pub fn configs() -> Vec<String> {
    let top = project_folder().join("examples");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(top.join(folder)).unwrap().flatten();
        let name = |entry: std::fs::DirEntry| {
            format!("{folder}{}", entry.file_name().into_string().unwrap())
        };
        entries.map(name).collect::<Vec<_>>()
    };
    let all = files("").into_iter().flat_map(|name| {
        let is_folder = top.join(&name).is_dir();
        if is_folder {
            files(&format!("{name}/"))
        } else {
            vec![name]
        }
    });
    all.filter(|name| name.ends_with(".json") && !name.ends_with("collection.json"))
        .collect()
}

/// The tables that the examples speak of.
pub async fn make_tables(server: &MariaDb) {
    static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    MADE.get_or_init(async || {
        let mut connection = server.connect("mysql").await;
        for folder in ["db-to-db", "stock", "one-event-many-tables"] {
            run(&mut connection, &example(&format!("{folder}/schema.sql"))).await;
        }
        run(&mut connection, "CREATE DATABASE IF NOT EXISTS mydb").await;
        SqliteFile::new(lab().scratch(), "shop").connect().await;
    })
    .await;
}

/// A config as it is, but for the server's port and the folder of SQLite files.
pub fn config(server: &MariaDb, name: &str) -> Value {
    let text = example(name)
        .replace("localhost:3306", &format!("127.0.0.1:{}", server.port()))
        .replace(
            "jdbc:sqlite:",
            &format!("jdbc:sqlite:{}/sqlite/", lab().scratch().path().display()),
        )
        .replace(
            r#""file": ""#,
            &format!(r#""file": "{}/"#, lab().scratch().path().display()),
        );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn orders_change_the_stock_as_the_example_says() {
    let (server, rest, topics) = (
        lab().mariadb(),
        lab().worker().rest(),
        lab().kafka().topics(),
    );
    make_tables(server).await;
    topics.create("orders", 1).await;
    rest.post("/connectors", &config(server, "stock/stock-sink.json"))
        .await
        .expect(201);
    let orders = [
        (None, Some(r#"{"product_id": 1, "qty": 3}"#)),
        (None, Some(r#"{"qty":2,"product_id":2,"note":"x"}"#)),
    ];
    topics.produce("orders", &orders);
    let mut connection = server.connect("warehouse").await;
    let sum = "SELECT CAST(SUM(qty * product_id) AS SIGNED) FROM stock";
    let before = 1000 + 2 * 500 + 3 * 200;
    for_condition("the stock to change", SOON, async || {
        count(&mut connection, sum).await == before - 3 - 4
    })
    .await;
    rest.remove("stock-sink").await;
}

#[tokio::test]
async fn one_tombstone_removes_a_members_rows_from_four_tables_as_the_example_says() {
    let (server, rest, topics) = (
        lab().mariadb(),
        lab().worker().rest(),
        lab().kafka().topics(),
    );
    make_tables(server).await;
    topics.create("members", 1).await;
    let tables = ["cards", "likes", "chat-rooms", "reviews"];
    for table in tables {
        let body = config(server, &format!("one-event-many-tables/{table}.json"));
        rest.post("/connectors", &body).await.expect(201);
    }
    let key = r#"{"schema":{"type":"struct","fields":[{"field":"id","type":"int32"}]},"payload":{"id":7}}"#;
    let value = r#"{"schema":{"type":"struct","fields":[{"field":"name","type":"string"}]},"payload":{"name":"Ann"}}"#;
    topics.produce("members", &[(Some(key), Some(value)), (Some(key), None)]);
    let mut connection = server.connect("club").await;
    for table in tables {
        let all = format!("SELECT COUNT(*) FROM {}", table.replace('-', "_"));
        let left = format!("{all} WHERE member_id = 7");
        for_condition(&left, SOON, async || {
            count(&mut connection, &left).await == 0
        })
        .await;
        assert!(
            count(&mut connection, &all).await > 0,
            "{table}: the other member's rows stay"
        );
        rest.wait_state(&format!("members-to-{table}"), "RUNNING", SOON)
            .await;
        rest.remove(&format!("members-to-{table}")).await;
    }
}

#[tokio::test]
async fn every_example_config_passes_validation() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    make_tables(server).await;
    let mut checked = 0;
    for name in configs() {
        let mut body = config(server, &name);
        if !name.contains("sqlite") && !name.contains("file") {
            assert_eq!(
                body["config"]["connection.password"],
                MariaDb::PASSWORD,
                "{name}"
            );
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
        assert_eq!(
            (answer["error_count"].as_i64(), errors.as_slice()),
            (Some(0), &[][..]),
            "{name}"
        );
        checked += 1;
    }
    assert!(checked >= 11, "only {checked} examples found");
}

#[test]
fn the_postman_collection_has_every_documented_call_and_checks_each_answer() {
    let collection: Value =
        serde_json::from_str(&example("rowferry.postman_collection.json")).unwrap();
    assert_eq!(
        collection["info"]["schema"],
        "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    );
    let folders = collection["item"].as_array().unwrap();
    let requests = folders
        .iter()
        .flat_map(|folder| folder["item"].as_array().unwrap());
    let routes: Vec<String> = requests
        .map(|item| {
            format!(
                "{} {}",
                item["request"]["method"].as_str().unwrap(),
                item["request"]["url"]["raw"].as_str().unwrap()
            )
        })
        .collect();
    let tested = folders
        .iter()
        .flat_map(|folder| folder["item"].as_array().unwrap());
    for item in tested {
        let script = item["event"][0]["script"]["exec"].to_string();
        assert!(
            script.contains("pm.test("),
            "{} checks its answer",
            item["name"]
        );
    }
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        // the names that the requests have in the place of the document's parameters
        let pattern = regex::escape(path)
            .replace(r"\{plugin\}", "[^/]+")
            .replace(r"\{logger\}", "[^/]+")
            .replace(r"\{worker\}", "[^/]+");
        let pattern = pattern
            .replace(r"\{task\}", "0")
            .replace(r"\{partition\}", "0")
            .replace(r"\{offset\}", "0")
            .replace(r"\{version\}", "1")
            .replace(r"\{table\}", "orders");
        let pattern = pattern.replace(r"\{connector\}", r"\{\{connector\}\}");
        for method in operations.as_object().unwrap().keys() {
            let wanted = format!(
                r"^{} \{{\{{rowferry\}}\}}{pattern}(\?.*)?$",
                method.to_uppercase()
            );
            let wanted = regex::Regex::new(&wanted).unwrap();
            assert!(
                routes.iter().any(|route| wanted.is_match(route)),
                "{method} {path} is not in {routes:?}"
            );
        }
    }
    let named = calls_named_in_the_documentation();
    assert!(named.len() >= 10, "{named:?}");
    for (file, method, path) in named {
        let pattern: Vec<String> = path.split('/').map(segment).collect();
        let wanted = format!(
            r"^{method} \{{\{{rowferry\}}\}}{}(\?.*)?$",
            pattern.join("/")
        );
        let wanted = regex::Regex::new(&wanted).unwrap();
        assert!(
            routes.iter().any(|route| wanted.is_match(route)),
            "{file}: {method} {path} is not in {routes:?}"
        );
    }
}

/// A part of a path as the documentation has it: a placeholder matches any name, a
/// number any number.
fn segment(part: &str) -> String {
    let is_name = part.starts_with('{')
        || part.chars().any(|c| c.is_ascii_uppercase())
        || part.starts_with("my-");
    let is_number = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    if is_name {
        "[^/?]+".to_owned()
    } else if is_number {
        "[0-9]+".to_owned()
    } else {
        regex::escape(part)
    }
}

/// Calls that README and the documentation name, as `GET /path` or with curl, and where.
fn calls_named_in_the_documentation() -> Vec<(String, String, String)> {
    let docs = std::fs::read_dir(project_folder().join("docs"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let call = regex::Regex::new(r"\b(GET|POST|PUT|PATCH|DELETE) `?(/[A-Za-z0-9_/{}.-]*)").unwrap();
    let curl = regex::Regex::new(
        r"curl (?:-X (\w+) )?(?:-H '[^']*' |--data \S+ )*'?localhost:8083(/[A-Za-z0-9_/.-]*)",
    )
    .unwrap();
    let mut named = Vec::new();
    for page in pages.chain([project_folder().join("README.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        let file = page.file_name().unwrap().to_string_lossy().into_owned();
        for found in call.captures_iter(&text).chain(curl.captures_iter(&text)) {
            let method = found.get(1).map_or("GET", |method| method.as_str());
            named.push((file.clone(), method.to_owned(), found[2].to_owned()));
        }
    }
    named
}
