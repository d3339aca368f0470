//! Which tables are read, by which task, and how they are named.

use connector_api::{Config, ConfigReport, SourceConnector};
use connector_jdbc::source::JdbcSource;

use super::fixture::{DATABASES, Fixture, Server, member, shown};

const BULK: [(&str, &str); 1] = [("mode", "bulk")];
const IDS: [(&str, &str); 2] = [("mode", "incrementing"), ("incrementing.column.name", "id")];

/// The tables of each task.
async fn tasks(config: &Config, max: usize) -> Vec<Vec<String>> {
    let plan = JdbcSource.plan(config, max).await.unwrap();
    let bare = |name: &str| {
        name.rsplit('.')
            .next()
            .unwrap_or(name)
            .trim_matches(['`', '"'])
            .to_owned()
    };
    let tables = |task: &Config| {
        let list = task.get("tables").unwrap_or_default();
        list.split(',')
            .filter(|name| !name.is_empty())
            .map(bare)
            .collect()
    };
    plan.tasks.iter().map(tables).collect()
}

async fn with_tables(server: Server, keys: &[(&str, &str)], names: &[&str]) -> Fixture {
    let mut fixture = Fixture::new(server, keys).await;
    for name in names {
        fixture
            .sql(&format!(
                "CREATE TABLE {name} (id INT NOT NULL PRIMARY KEY)"
            ))
            .await;
    }
    fixture
}

#[tokio::test]
async fn tables_are_selected_by_lists_of_names_or_expressions() {
    for server in DATABASES {
        // SQLite's tables are in no schema
        let within = if server == Server::Sqlite {
            ""
        } else {
            ".*\\."
        };
        let patterns = [
            format!("{within}ba."),
            format!("{within}ba[rx], {within}foo"),
            format!("{within}(?!foo)\\w+"),
        ];
        for (filter, want) in [
            (vec![("table.whitelist", "foo,bar")], "bar foo"),
            (vec![("table.blacklist", "bar,baz")], "foo"),
            (
                vec![("table.include.list", patterns[0].as_str())],
                "bar baz",
            ),
            (
                vec![
                    ("table.include.list", ".*"),
                    ("table.exclude.list", patterns[1].as_str()),
                ],
                "baz",
            ),
            (
                vec![("table.include.list", patterns[2].as_str())],
                "bar baz",
            ),
        ] {
            let fixture = with_tables(
                server,
                &[&BULK[..], &filter].concat(),
                &["foo", "bar", "baz"],
            )
            .await;
            assert_eq!(
                tasks(&fixture.config(), 1).await[0].join(" "),
                want,
                "{filter:?}"
            );
        }
        let mut fixture = with_tables(server, &BULK, &["foo", "bar"]).await;
        let full = fixture.full("foo").replace('.', "{q}.{q}");
        fixture.set(&[("table.whitelist", &format!("{{q}}{full}{{q}}"))]);
        assert_eq!(tasks(&fixture.config(), 1).await[0], ["foo"]);
    }
}

#[tokio::test]
async fn many_tables_are_split_into_groups() {
    for server in DATABASES {
        let keys = [("mode", "bulk"), ("table.blacklist", "none")];
        let fixture = with_tables(server, &keys, &["test1", "test2", "test3", "test4"]).await;
        assert_eq!(
            tasks(&fixture.config(), 3).await,
            [vec!["test1", "test2"], vec!["test3"], vec!["test4"]]
        );
    }
}

#[tokio::test]
async fn one_table_is_one_task() {
    for server in DATABASES {
        let fixture = with_tables(server, &BULK, &["test"]).await;
        assert_eq!(tasks(&fixture.config(), 10).await, [["test"]]);
    }
}

#[tokio::test]
async fn a_query_is_one_task_without_tables() {
    for server in DATABASES {
        let keys = [("mode", "bulk"), ("query", "SELECT * FROM test")];
        let fixture = with_tables(server, &keys, &["test"]).await;
        assert_eq!(tasks(&fixture.config(), 3).await, [[""; 0]]);
    }
}

#[tokio::test]
async fn quoted_names_keep_their_letter_case() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &IDS).await;
        // a topic has no blank in its name, so that transforms would name another
        fixture.set(&[
            ("table.whitelist", "MixedCase t"),
            ("quote.sql.identifiers", "always"),
            ("transforms", "route"),
        ]);
        fixture.sql("CREATE TABLE {q}MixedCase t{q} (id INT NOT NULL PRIMARY KEY, {q}Na me{q} VARCHAR(5))").await;
        fixture
            .sql("INSERT INTO {q}MixedCase t{q} VALUES (1, 'a'), (2, 'b')")
            .await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "Na me", 2).await, ["a", "b"]);
        task.close().await;
    }
}

#[tokio::test]
async fn a_schema_pattern_selects_tables_by_schema() {
    let mut fixture = Fixture::new(Server::Postgres, &IDS).await;
    fixture.sql("CREATE SCHEMA a; CREATE SCHEMA b").await;
    for schema in ["a", "b"] {
        fixture
            .sql(&format!("CREATE TABLE {schema}.test (id INT PRIMARY KEY)"))
            .await;
        fixture
            .sql(&format!("INSERT INTO {schema}.test VALUES (1)"))
            .await;
    }
    let error = fixture
        .try_open()
        .await
        .err()
        .expect("two tables of one name");
    assert!(
        error
            .message()
            .contains("duplicate unqualified table names"),
        "{error}"
    );
    fixture.set(&[("schema.pattern", "b")]);
    let mut task = fixture.open().await;
    assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
    assert_eq!(
        fixture.stored.last(),
        "protocol=1 table=b.test | incrementing=1"
    );
    task.close().await;
}

#[tokio::test]
async fn tables_are_read_in_turn() {
    for server in DATABASES {
        let keys = [
            ("mode", "bulk"),
            ("table.blacklist", "none"),
            ("batch.max.rows", "1"),
            ("poll.interval.ms", "300"),
        ];
        let mut fixture = with_tables(server, &keys, &["t1", "t2"]).await;
        fixture
            .sql("INSERT INTO t1 VALUES (1), (2); INSERT INTO t2 VALUES (3), (4)")
            .await;
        let mut task = fixture.open().await;
        let seen = fixture.read(&mut *task, 8).await;
        let seen: Vec<_> = seen
            .iter()
            .map(|r| format!("{} {}", r.topic, shown(member(r, "id"))))
            .collect();
        let once = ["test-t1 1", "test-t1 2", "test-t2 3", "test-t2 4"];
        assert_eq!(seen, [once, once].concat());
        task.close().await;
    }
}

#[tokio::test]
async fn offsets_name_tables_without_their_schema_when_so_configured() {
    for server in DATABASES {
        let keys = [
            &IDS[..],
            &[
                ("table.names.qualify", "false"),
                ("table.blacklist", "none"),
            ],
        ]
        .concat();
        let mut fixture = with_tables(server, &keys, &["t1", "t2"]).await;
        fixture
            .sql("INSERT INTO t1 VALUES (1), (2); INSERT INTO t2 VALUES (3)")
            .await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 3).await, ["1", "2", "3"]);
        assert!(
            fixture
                .stored
                .last()
                .starts_with("table=t2 | incrementing=3")
        );
        task.close().await;
    }
}

/// A table of the fixture's own database, and one of another on the same server, of which both names are given.
async fn of_another_database(server: Server, keys: &[(&str, &str)]) -> (Fixture, Fixture) {
    let mut other = with_tables(server, &IDS, &["elsewhere", "test"]).await;
    other
        .sql("INSERT INTO elsewhere VALUES (7); INSERT INTO test VALUES (8)")
        .await;
    let mut fixture = with_tables(server, &IDS, &["test"]).await;
    fixture.sql("INSERT INTO test VALUES (1)").await;
    let name = other.name.clone();
    let keys: Vec<_> = keys
        .iter()
        .map(|(key, value)| (*key, value.replace("{other}", &name)))
        .collect();
    fixture.set(
        &keys
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect::<Vec<_>>(),
    );
    (fixture, other)
}

/// What validation warns of and refuses, as `key: text`.
async fn reported(fixture: &Fixture) -> (Vec<String>, Vec<String>) {
    let mut report = ConfigReport::default();
    JdbcSource.probe(&fixture.config(), &mut report).await;
    let lines = |problems: Vec<connector_api::config::ConfigProblem>| {
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message))
            .collect::<Vec<_>>()
    };
    (lines(report.warnings), lines(report.errors))
}

#[tokio::test]
async fn tables_of_another_database_of_mariadb_are_read_when_they_are_named_with_it() {
    for (list, text) in [
        ("table.whitelist", "test,{other}.elsewhere"),
        ("table.whitelist", "{db}.test,`{other}`.`elsewhere`"),
        ("table.include.list", ".*\\.test,{other}\\.else.*"),
    ] {
        let filters = [("table.whitelist", ""), (list, text)];
        let (mut fixture, mut other) = of_another_database(Server::MariaDb, &filters).await;
        if list == "table.include.list" {
            let mappings = [
                ("incrementing.column.name", ""),
                ("incrementing.column.mapping", ".*:id"),
            ];
            fixture.set(&mappings);
        }
        let mut task = fixture.open().await;
        let mut seen = fixture.column(&mut *task, "id", 2).await;
        seen.sort();
        assert_eq!(seen, ["1", "7"], "{text}");
        other.sql("INSERT INTO elsewhere VALUES (9)").await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["9"], "{text}");
        let partition = format!("protocol=1 table={}.elsewhere | incrementing=9", other.name);
        assert!(
            fixture.stored.last().starts_with(&partition),
            "{}",
            fixture.stored.last()
        );
        fixture.nothing_more(&mut *task).await;
        task.close().await;
        assert_eq!(reported(&fixture).await, (vec![], vec![]), "{text}");
    }
    // one topic for two tables
    let (fixture, _other) =
        of_another_database(Server::MariaDb, &[("table.whitelist", "test,{other}.test")]).await;
    let error = fixture
        .try_open()
        .await
        .err()
        .expect("two tables of one name");
    assert!(
        error
            .message()
            .contains("duplicate unqualified table names"),
        "{error}"
    );
    // letter case counts where it does for the server
    let (fixture, _other) = of_another_database(
        Server::MariaDb,
        &[("table.whitelist", "test,{other}.ELSEWHERE")],
    )
    .await;
    let (warnings, _) = reported(&fixture).await;
    assert!(
        warnings[0].contains(".elsewhere: letter case matters"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn names_with_the_database_of_postgresql_are_read_or_refused() {
    let (mut fixture, _other) = of_another_database(
        Server::Postgres,
        &[("table.whitelist", "{db}.\"public\".test")],
    )
    .await;
    let mut task = fixture.open().await;
    assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
    task.close().await;
    assert_eq!(reported(&fixture).await, (vec![], vec![]));
    for (list, warned, refused) in [
        (
            "test,{other}.public.elsewhere",
            "",
            "table.whitelist: {other}.public.elsewhere is in the database {other}",
        ),
        (
            "test,{other}.elsewhere",
            "table.whitelist: table {other}.elsewhere does not exist now",
            "",
        ),
        (
            "test,Public.Test",
            "table.whitelist: table Public.Test does not exist now; it is read once it exists; there is",
            "",
        ),
    ] {
        let (fixture, other) =
            of_another_database(Server::Postgres, &[("table.whitelist", list)]).await;
        let (warnings, errors) = reported(&fixture).await;
        let expected = |text: &str| text.replace("{other}", &other.name);
        for (found, wanted) in [(&warnings, warned), (&errors, refused)] {
            assert!(
                found.len() == usize::from(!wanted.is_empty()),
                "{list}: {warnings:?} {errors:?}"
            );
            assert!(
                found.concat().starts_with(&expected(wanted)),
                "{list}: {found:?}"
            );
        }
        match fixture.try_open().await {
            Ok(task) => task.close().await,
            Err(error) => assert!(
                !refused.is_empty() && error.message().contains("connection.url"),
                "{error}"
            ),
        }
    }
}
