//! Types beyond those of the rows, values beyond their types, and clock changes.

use super::fixture::{DATABASES, Fixture, Server};
use super::types::{check, read};

#[tokio::test]
async fn times_and_bits_beyond_their_types_are_carried_in_full() {
    let columns = [
        ("TIME NOT NULL", "'-00:30:00'", "string -00:30:00"),
        (
            "TIME(6)",
            "'-838:59:58.999999'",
            "string? -838:59:58.999999",
        ),
        ("TIME", "'838:59:59'", "string? 838:59:59"),
        ("BIT(9)", "b'101010101'", "bytes? 0155"),
        (
            "DATETIME",
            "'9999-12-31 23:59:59'",
            "int64? Timestamp 253402300799000",
        ),
    ];
    // the kit's URL names MySQL's driver, which makes bits of any width int8
    read(Server::MariaDb, &[], &columns).await;
    read(
        Server::MariaDb,
        &[("timestamp.granularity", "nanos_long")],
        &[
            (
                "DATETIME",
                "'9999-12-31 23:59:59'",
                "string? 253402300799000000000",
            ),
            ("DATETIME", "'2024-01-01'", "int64? 1704067200000000000"),
        ],
    )
    .await;
}

#[tokio::test]
async fn numerics_without_a_scale_are_carried_in_full() {
    let big = "1".repeat(40);
    let many = format!("0.{}", "1".repeat(130));
    let decimal = |digits: &str, fraction: usize| {
        format!("bytes? Decimal(0,127) {digits}{}", "0".repeat(fraction))
    };
    let columns = [
        ("NUMERIC", "1.5".to_owned(), decimal("1.5", 126)),
        ("NUMERIC", big.clone(), decimal(&format!("{big}."), 127)),
        ("NUMERIC", many.clone(), format!("string? {many}")),
        ("NUMERIC", "'NaN'".to_owned(), "string? NaN".to_owned()),
        ("NUMERIC(5,2)", "'NaN'".to_owned(), "string? NaN".to_owned()),
        (
            "NUMERIC(3,-2)",
            "12345".to_owned(),
            "bytes? Decimal(3,-2) 12300".to_owned(),
        ),
    ];
    let columns: Vec<_> = columns
        .iter()
        .map(|(a, b, c)| (*a, b.as_str(), c.as_str()))
        .collect();
    read(Server::Postgres, &[], &columns).await;
    for mapping in ["precision_only", "best_fit", "best_fit_eager_double"] {
        let columns = [
            ("NUMERIC", "7", "int8? 7"),
            ("NUMERIC", "183.9382", "string? 183.9382"),
        ];
        read(Server::Postgres, &[("numeric.mapping", mapping)], &columns).await;
    }
}

#[tokio::test]
async fn mariadbs_other_types() {
    let columns = [
        ("ENUM('a,b','it''s')", "'it''s'", "string? it's"),
        ("SET('x','y','z')", "'x,z'", "string? x,z"),
        ("INET4", "'192.0.2.1'", "string? 192.0.2.1"),
        ("INET6", "'2001:db8::1'", "string? 2001:db8::1"),
        (
            "POINT",
            "ST_GeomFromText('POINT(1 2)')",
            "bytes? 000000000101000000000000000000f03f0000000000000040",
        ),
        ("SMALLINT UNSIGNED", "65535", "int32? 65535"),
        ("MEDIUMINT UNSIGNED", "16777215", "int64? 16777215"),
        ("INT UNSIGNED", "4294967295", "int64? 4294967295"),
        ("INT(6) ZEROFILL", "7", "int64? 7"),
        ("LONGTEXT", "'l'", "string? l"),
        ("TINYBLOB", "x'00ff'", "bytes? 00ff"),
        (
            "DECIMAL(65,30)",
            "0.000000000000000000000000000001",
            "bytes? Decimal(65,30) 0.000000000000000000000000000001",
        ),
        (
            "TIMESTAMP(6) NULL",
            "'2024-02-29 12:34:56.789999'",
            "int64? Timestamp 1709210096789",
        ),
        ("INT AS (id * 2) VIRTUAL", "DEFAULT", "int32? 2"),
        ("CHAR(3) CHARACTER SET latin1", "'äöü'", "string? äöü"),
        ("BIT(1)", "b'1'", "int8? 1"),
    ];
    read(Server::MariaDb, &[], &columns).await;
}

#[tokio::test]
async fn postgresqls_other_types() {
    let mut fixture = Fixture::new(
        Server::Postgres,
        &[("mode", "bulk"), ("poll.interval.ms", "3600000")],
    )
    .await;
    fixture
        .sql(
            "CREATE TYPE mood AS ENUM ('sad', 'it''s'); CREATE TYPE pair AS (a INT, b TEXT);
             CREATE DOMAIN small AS INT CHECK (VALUE < 100); CREATE DOMAIN smaller AS small CHECK (VALUE < 10);
             CREATE DOMAIN price AS NUMERIC(6,2); CREATE DOMAIN words AS TEXT[]",
        )
        .await;
    let columns = [
        ("mood", "'it''s'", "string? it's"),
        ("pair", "ROW(1, 'x y')", "string? (1,\"x y\")"),
        ("small", "7", "int32? 7"),
        ("smaller", "8", "int32? 8"),
        ("price", "9.5", "bytes? Decimal(6,2) 9.50"),
        ("words", "'{a,\"b c\"}'", "string? {a,\"b c\"}"),
        ("INT[]", "'{1,2,NULL}'", "string? {1,2,NULL}"),
        ("TEXT[][]", "'{{a,b},{c,d}}'", "string? {{a,b},{c,d}}"),
        ("INET", "'192.0.2.1'", "string? 192.0.2.1/32"),
        ("CIDR", "'192.0.2.0/24'", "string? 192.0.2.0/24"),
        (
            "MACADDR",
            "'08:00:2b:01:02:03'",
            "string? 08:00:2b:01:02:03",
        ),
        ("INTERVAL", "'1 day 02:03:04'", "string? 1 day 02:03:04"),
        ("INT4RANGE", "'[1,5)'", "string? [1,5)"),
        ("INT4MULTIRANGE", "'{[1,2),[4,5)}'", "string? {[1,2),[4,5)}"),
        ("POINT", "'(1,2)'", "string? (1,2)"),
        ("TSVECTOR", "'a b'", "string? 'a' 'b'"),
        ("MONEY", "'1234.50'", "float64? 1234.5"),
        ("XML", "'<a/>'", "string? <a/>"),
        ("OID", "4294967295", "int64? 4294967295"),
        ("BIT(3)", "B'101'", "int8? 5"),
        ("BIT(12)", "B'101010101010'", "bytes? 0aaa"),
        ("VARBIT", "B'101'", "string? 101"),
        ("TIMETZ", "'12:00:00+02'", "int32? Time 36000000"),
        (
            "TIMESTAMPTZ",
            "'2024-01-01 00:00:00+05:30'",
            "int64? Timestamp 1704047400000",
        ),
        ("DATE", "'0044-03-15 BC'", "int32? Date -735162"),
        ("NAME", "'n'", "string? n"),
        ("\"char\"", "'c'", "string? c"),
        ("PG_LSN", "'16/B374D848'", "string? 16/B374D848"),
        ("JSONPATH", "'$.a'", "string? $.\"a\""),
        ("REGCLASS", "'pg_class'", "string? pg_class"),
        (
            "INT GENERATED ALWAYS AS (id * 2) STORED",
            "DEFAULT",
            "int32? 2",
        ),
    ];
    check(&mut fixture, &columns).await;
}

#[tokio::test]
async fn types_that_are_carried_as_text_are_named_in_the_status() {
    let mut fixture = Fixture::new(Server::Postgres, &[("mode", "bulk")]).await;
    fixture
        .sql("CREATE TABLE test (id INT PRIMARY KEY, net INET, words TEXT[], plain TEXT)")
        .await;
    let task = fixture.open().await;
    let warnings = task.progress().warnings.join("\n");
    assert!(
        warnings.contains("column net of type inet") && warnings.contains("column words"),
        "{warnings}"
    );
    assert!(!warnings.contains("plain"), "{warnings}");
    task.close().await;
}

/// The hour that is left out in spring, and the one that comes twice in autumn: as Java's calendar reads them.
#[tokio::test]
async fn wall_times_around_clock_changes() {
    for server in DATABASES {
        let columns = [
            (
                "{stamp}",
                "'2024-03-10 01:59:59'",
                "int64? Timestamp 1710053999000",
            ),
            (
                "{stamp}",
                "'2024-03-10 02:30:00'",
                "int64? Timestamp 1710055800000",
            ),
            (
                "{stamp}",
                "'2024-03-10 03:00:00'",
                "int64? Timestamp 1710054000000",
            ),
            (
                "{stamp}",
                "'2024-11-03 01:30:00'",
                "int64? Timestamp 1730615400000",
            ),
            (
                "{stamp}",
                "'2024-11-03 02:00:00'",
                "int64? Timestamp 1730617200000",
            ),
            ("DATE", "'2024-03-10'", "int32? Date 19792"),
            ("TIME", "'12:00:00'", "int32? Time 61200000"),
        ];
        read(server, &[("db.timezone", "America/New_York")], &columns).await;
    }
}

/// Wall times of an hour that the clock leaves out are those of no instant, and offsets store instants.
#[tokio::test]
async fn stamps_around_clock_changes_are_read_once_across_restarts() {
    let clocks = [
        "2024-03-31 01:59:59",
        "2024-03-31 02:00:00",
        "2024-03-31 02:30:00",
        "2024-03-31 02:30:00",
        "2024-03-31 02:59:59.999",
        "2024-03-31 03:00:00",
        "2024-10-27 01:59:59",
        "2024-10-27 02:00:00",
        "2024-10-27 02:30:00",
        "2024-10-27 02:30:00",
        "2024-10-27 03:00:00",
    ];
    let stamp = ("timestamp.column.name", "modified");
    let ids = [
        ("mode", "timestamp+incrementing"),
        ("incrementing.column.name", "id"),
        stamp,
    ];
    for (server, ty) in [
        (Server::MariaDb, "DATETIME(3)"),
        (Server::MariaDb, "TIMESTAMP(3)"),
        (Server::Postgres, "TIMESTAMP(3)"),
        (Server::Postgres, "TIMESTAMPTZ(3)"),
        (Server::Sqlite, "DATETIME"),
    ] {
        for mode in [&[("mode", "timestamp"), stamp][..], &ids] {
            let keys = [
                mode,
                &[("db.timezone", "Europe/Berlin"), ("batch.max.rows", "1")],
            ]
            .concat();
            let mut fixture = Fixture::new(server, &keys).await;
            fixture
                .sql(&format!(
                    "CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {ty} NOT NULL)"
                ))
                .await;
            for (n, clock) in clocks.iter().enumerate() {
                fixture
                    .sql(&format!("INSERT INTO test VALUES ({n}, '{clock}')"))
                    .await;
            }
            for n in 0..clocks.len() {
                let mut task = fixture.open().await;
                assert_eq!(
                    fixture.column(&mut *task, "id", 1).await,
                    [n.to_string()],
                    "{ty} {keys:?}"
                );
                task.close().await;
            }
            let mut task = fixture.open().await;
            fixture.nothing_more(&mut *task).await;
            task.close().await;
        }
    }
}
