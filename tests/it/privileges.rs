//! Validation names the privileges that an account lacks, and the statements that grant them are right.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use testkit::mariadb::run;
use testkit::unique;

use crate::lab;

const PASSWORD: &str = "pw";

/// Errors of `connection.user`, and all warnings.
async fn validated(class: &str, config: &Value) -> (Vec<String>, Vec<String>) {
    let path = format!("/connector-plugins/{class}/config/validate");
    let infos = lab()
        .worker()
        .rest()
        .put(&path, config)
        .await
        .expect(200)
        .body;
    let configs = infos["configs"].as_array().unwrap();
    let texts = |list: &Value, member: &str| {
        let items = list.as_array().into_iter().flatten();
        items
            .filter_map(|item| {
                if member.is_empty() {
                    item.as_str()
                } else {
                    item[member].as_str()
                }
                .map(str::to_owned)
            })
            .collect::<Vec<_>>()
    };
    let others = configs
        .iter()
        .filter(|config| config["value"]["name"] != "connection.user");
    let errors: Vec<_> = others
        .flat_map(|config| texts(&config["value"]["errors"], ""))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let user = configs
        .iter()
        .find(|config| config["value"]["name"] == "connection.user")
        .unwrap();
    (
        texts(&user["value"]["errors"], ""),
        texts(&infos["warnings"], "message"),
    )
}

/// The statements that fix what the texts report.
fn grants(texts: &[String]) -> Vec<&str> {
    texts
        .iter()
        .flat_map(|text| {
            text.split_once("to fix this: ")
                .expect("how to fix it")
                .1
                .split("; ")
        })
        .collect()
}

fn sink(url: &str, user: &str, more: Value) -> Value {
    let mut config = json!({
        "name": "p", "connector.class": "JdbcSinkConnector", "connection.url": url, "connection.user": user,
        "connection.password": PASSWORD, "topics": "new_one,t", "pk.mode": "record_key", "insert.mode": "upsert"});
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

fn source(url: &str, user: &str) -> Value {
    json!({
        "name": "p", "connector.class": "JdbcSourceConnector", "connection.url": url, "connection.user": user,
        "connection.password": PASSWORD, "mode": "timestamp", "timestamp.column.name": "at", "table.whitelist": "t",
        "topic.prefix": "p-"})
}

#[tokio::test]
async fn what_an_account_of_mariadb_lacks_is_named_with_its_grant() {
    let name = unique("lacking");
    let mut root = lab().mariadb().create_database(&name).await;
    let sql = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL); CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'; \
         GRANT INSERT ON `{name}`.t TO '{name}'@'%'"
    );
    run(&mut root, &sql).await;
    let url = lab().mariadb().jdbc_url(&name);

    let (lacking, blind) = validated("JdbcSourceConnector", &source(&url, &name)).await;
    assert_eq!(
        lacking,
        [format!(
            "'{name}'@'%' lacks SELECT on {name}.t; to fix this: GRANT SELECT ON `{name}`.`t` TO '{name}'@'%'"
        )]
    );
    assert_eq!(
        grants(&blind),
        [format!("GRANT PROCESS ON *.* TO '{name}'@'%'")]
    );
    for grant in grants(&lacking).into_iter().chain(grants(&blind)) {
        run(&mut root, grant).await;
    }
    assert_eq!(
        validated("JdbcSourceConnector", &source(&url, &name)).await,
        (vec![], vec![])
    );

    let more = json!({"delete.enabled": "true", "auto.evolve": "true"});
    let (lacking, _) = validated("JdbcSinkConnector", &sink(&url, &name, more.clone())).await;
    let wanted = [
        ("new_one", "INSERT, UPDATE, DELETE, CREATE"),
        ("rowferry_offsets", "SELECT, INSERT, UPDATE, CREATE"),
        ("t", "UPDATE, DELETE, ALTER"),
    ];
    let wanted = wanted.map(|(table, privileges)| {
        format!("GRANT {privileges} ON `{name}`.`{table}` TO '{name}'@'%'")
    });
    assert_eq!(grants(&lacking), wanted, "{lacking:?}");
    for grant in grants(&lacking) {
        run(&mut root, grant).await;
    }
    assert!(
        validated("JdbcSinkConnector", &sink(&url, &name, more))
            .await
            .0
            .is_empty()
    );
    // What a config does not do, it need not be allowed.
    run(
        &mut root,
        &format!("REVOKE CREATE, DELETE ON `{name}`.new_one FROM '{name}'@'%'"),
    )
    .await;
    let (lacking, _) = validated(
        "JdbcSinkConnector",
        &sink(&url, &name, json!({"auto.create": "false"})),
    )
    .await;
    assert!(lacking.is_empty(), "{lacking:?}");
}

#[tokio::test]
async fn what_an_account_of_postgresql_lacks_is_named_with_its_grant() {
    let name = unique("lacking");
    let mut root = lab().postgres().create_database(&name).await;
    let sql = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMP NOT NULL); CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'; \
         REVOKE CREATE ON SCHEMA public FROM public"
    );
    root.execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap();
    let url = lab().postgres().jdbc_url(&name);

    let (lacking, blind) = validated("JdbcSourceConnector", &source(&url, &name)).await;
    assert_eq!(
        grants(&lacking),
        [format!("GRANT SELECT ON \"public\".\"t\" TO \"{name}\"")],
        "{lacking:?}"
    );
    assert_eq!(
        grants(&blind),
        [format!("GRANT pg_read_all_stats TO \"{name}\"")]
    );
    for grant in grants(&lacking).into_iter().chain(grants(&blind)) {
        root.execute(AssertSqlSafe(grant.to_owned())).await.unwrap();
    }
    assert_eq!(
        validated("JdbcSourceConnector", &source(&url, &name)).await,
        (vec![], vec![])
    );

    let more = json!({"delete.enabled": "true", "auto.evolve": "true"});
    let (lacking, _) = validated("JdbcSinkConnector", &sink(&url, &name, more.clone())).await;
    assert!(
        lacking.len() == 3 && lacking.iter().all(|text| text.contains(" on public.")),
        "{lacking:?}"
    );
    assert!(
        grants(&lacking)
            .contains(&format!("ALTER TABLE \"public\".\"t\" OWNER TO \"{name}\"").as_str())
    );
    for grant in grants(&lacking) {
        root.execute(AssertSqlSafe(grant.to_owned())).await.unwrap();
    }
    let (lacking, _) = validated("JdbcSinkConnector", &sink(&url, &name, more)).await;
    assert!(lacking.is_empty(), "{lacking:?}");
}
