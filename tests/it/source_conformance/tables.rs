//! Which tables are read, by which task, and how they are named.

use connector_api::{Config, Source};
use connector_jdbc::source::JdbcSource;

use super::fixture::{Fixture, SERVERS, Server, member, shown};

const BULK: [(&str, &str); 1] = [("mode", "bulk")];
const IDS: [(&str, &str); 2] = [("mode", "incrementing"), ("incrementing.column.name", "id")];

/// The tables of each task.
async fn tasks(config: &Config, max: usize) -> Vec<Vec<String>> {
    let plan = JdbcSource.plan(config, max).await.unwrap();
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_matches(['`', '"']).to_owned();
    let tables = |task: &Config| {
        let list = task.get("tables").unwrap_or_default();
        list.split(',').filter(|name| !name.is_empty()).map(bare).collect()
    };
    plan.tasks.iter().map(tables).collect()
}

async fn with_tables(server: Server, keys: &[(&str, &str)], names: &[&str]) -> Fixture {
    let mut fixture = Fixture::new(server, keys).await;
    for name in names {
        fixture.sql(&format!("CREATE TABLE {name} (id INT NOT NULL PRIMARY KEY)")).await;
    }
    fixture
}

#[tokio::test]
async fn sm24_tables_are_chosen_by_lists_of_names_or_expressions() {
    for server in SERVERS {
        let schema = if server == Server::MariaDb { "{db}" } else { "public" };
        for (filter, want) in [
            (vec![("table.whitelist", "foo,bar")], "bar foo"),
            (vec![("table.blacklist", "bar,baz")], "foo"),
            (vec![("table.include.list", ".*\\.ba.")], "bar baz"),
            (vec![("table.include.list", ".*"), ("table.exclude.list", ".*\\.ba[rx], .*\\.foo")], "baz"),
            (vec![("table.include.list", ".*\\.(?!foo)\\w+")], "bar baz"),
        ] {
            let fixture = with_tables(server, &[&BULK[..], &filter].concat(), &["foo", "bar", "baz"]).await;
            assert_eq!(tasks(&fixture.config(), 1).await[0].join(" "), want, "{filter:?}");
        }
        let mut fixture = with_tables(server, &BULK, &["foo", "bar"]).await;
        let quoted = format!("{{q}}{schema}{{q}}.{{q}}foo{{q}}");
        fixture.set(&[("table.whitelist", &quoted)]);
        assert_eq!(tasks(&fixture.config(), 1).await[0], ["foo"]);
    }
}

#[tokio::test]
async fn sm27_many_tables_are_split_into_groups() {
    for server in SERVERS {
        let keys = [("mode", "bulk"), ("table.blacklist", "none")];
        let fixture = with_tables(server, &keys, &["test1", "test2", "test3", "test4"]).await;
        assert_eq!(tasks(&fixture.config(), 3).await, [vec!["test1", "test2"], vec!["test3"], vec!["test4"]]);
    }
}

#[tokio::test]
async fn sm28_one_table_is_one_task() {
    for server in SERVERS {
        let fixture = with_tables(server, &BULK, &["test"]).await;
        assert_eq!(tasks(&fixture.config(), 10).await, [["test"]]);
    }
}

#[tokio::test]
async fn sm29_a_query_is_one_task_without_tables() {
    for server in SERVERS {
        let keys = [("mode", "bulk"), ("query", "SELECT * FROM test")];
        let fixture = with_tables(server, &keys, &["test"]).await;
        assert_eq!(tasks(&fixture.config(), 3).await, [[""; 0]]);
    }
}

#[tokio::test]
async fn sm35_names_in_quotes_keep_their_letters() {
    for server in SERVERS {
        let mut fixture = Fixture::new(server, &IDS).await;
        fixture.set(&[("table.whitelist", "MixedCase t"), ("quote.sql.identifiers", "always")]);
        fixture.sql("CREATE TABLE {q}MixedCase t{q} (id INT NOT NULL PRIMARY KEY, {q}Na me{q} VARCHAR(5))").await;
        fixture.sql("INSERT INTO {q}MixedCase t{q} VALUES (1, 'a'), (2, 'b')").await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "Na me", 2).await, ["a", "b"]);
        task.close().await;
    }
}

#[tokio::test]
async fn sm36_a_schema_pattern_narrows_the_search() {
    let mut fixture = Fixture::new(Server::Postgres, &IDS).await;
    fixture.sql("CREATE SCHEMA a; CREATE SCHEMA b").await;
    for schema in ["a", "b"] {
        fixture.sql(&format!("CREATE TABLE {schema}.test (id INT PRIMARY KEY)")).await;
        fixture.sql(&format!("INSERT INTO {schema}.test VALUES (1)")).await;
    }
    let error = fixture.try_open().await.err().expect("two tables of one name");
    assert!(error.message().contains("duplicate unqualified table names"), "{error}");
    fixture.set(&[("schema.pattern", "b")]);
    let mut task = fixture.open().await;
    assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
    assert_eq!(fixture.stored.last(), "protocol=1 table=b.test | incrementing=1");
    task.close().await;
}

#[tokio::test]
async fn sm38_tables_take_turns() {
    for server in SERVERS {
        let keys =
            [("mode", "bulk"), ("table.blacklist", "none"), ("batch.max.rows", "1"), ("poll.interval.ms", "300")];
        let mut fixture = with_tables(server, &keys, &["t1", "t2"]).await;
        fixture.sql("INSERT INTO t1 VALUES (1), (2); INSERT INTO t2 VALUES (3), (4)").await;
        let mut task = fixture.open().await;
        let seen = fixture.read(&mut *task, 8).await;
        let seen: Vec<_> = seen.iter().map(|r| format!("{} {}", r.topic, shown(member(r, "id")))).collect();
        let once = ["test-t1 1", "test-t1 2", "test-t2 3", "test-t2 4"];
        assert_eq!(seen, [once, once].concat());
        task.close().await;
    }
}

#[tokio::test]
async fn sm41_offsets_name_tables_without_their_schema_when_told_to() {
    for server in SERVERS {
        let keys = [&IDS[..], &[("table.names.qualify", "false"), ("table.blacklist", "none")]].concat();
        let mut fixture = with_tables(server, &keys, &["t1", "t2"]).await;
        fixture.sql("INSERT INTO t1 VALUES (1), (2); INSERT INTO t2 VALUES (3)").await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 3).await, ["1", "2", "3"]);
        assert!(fixture.stored.last().starts_with("table=t2 | incrementing=3"));
        task.close().await;
    }
}
