//! What columns become: one table for each row, its columns and what their fields hold.

use super::fixture::{DATABASES, Fixture, SERVERS, Server, described};

/// A column: its type, a value as SQL has it, and what its field looks like.
pub type Column<'a> = (&'a str, &'a str, &'a str);

/// Reads one row of a table with these columns, in bulk mode with these keys.
pub async fn read(server: Server, keys: &[(&str, &str)], columns: &[Column<'_>]) {
    let mut fixture = Fixture::new(
        server,
        &[&[("mode", "bulk"), ("poll.interval.ms", "3600000")], keys].concat(),
    )
    .await;
    check(&mut fixture, columns).await;
}

/// The same over a database that is there.
pub async fn check(fixture: &mut Fixture, columns: &[Column<'_>]) {
    let name = |(n, (ty, _, _)): (usize, &Column<'_>)| format!("c{n} {ty}");
    let definitions: Vec<_> = columns.iter().enumerate().map(name).collect();
    fixture
        .sql(&format!(
            "CREATE TABLE test (id INT NOT NULL PRIMARY KEY, {})",
            definitions.join(", ")
        ))
        .await;
    let values: Vec<_> = columns.iter().map(|(_, value, _)| *value).collect();
    fixture
        .sql(&format!(
            "INSERT INTO test VALUES (1, {})",
            values.join(", ")
        ))
        .await;
    let mut task = fixture.open().await;
    let records = fixture.read(&mut *task, 1).await;
    let mut wrong = Vec::new();
    for (n, (ty, value, want)) in columns.iter().enumerate() {
        let got = described(&records[0], &format!("c{n}"));
        if got != *want {
            wrong.push(format!("{value} in a {ty}: expected {want}, got {got}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{:?}:\n{}",
        fixture.server,
        wrong.join("\n")
    );
    task.close().await;
}

#[tokio::test]
async fn booleans_are_int8_on_mariadb_and_boolean_on_postgresql() {
    for server in DATABASES {
        let (ty, zero, one) = if server == Server::MariaDb {
            ("int8", "0", "1")
        } else {
            ("boolean", "false", "true")
        };
        let columns = [
            ("BOOLEAN NOT NULL", "FALSE", format!("{ty} {zero}")),
            ("BOOLEAN", "TRUE", format!("{ty}? {one}")),
            ("BOOLEAN", "NULL", format!("{ty}? null")),
        ];
        let columns: Vec<_> = columns
            .iter()
            .map(|(a, b, c)| (*a, *b, c.as_str()))
            .collect();
        read(server, &[], &columns).await;
    }
}

#[tokio::test]
async fn integers_have_the_connect_type_of_their_width() {
    for server in DATABASES {
        read(
            server,
            &[],
            &[
                ("SMALLINT NOT NULL", "1", "int16 1"),
                ("SMALLINT", "-32768", "int16? -32768"),
                ("INT NOT NULL", "1", "int32 1"),
                ("INT", "NULL", "int32? null"),
                (
                    "BIGINT NOT NULL",
                    "9223372036854775807",
                    "int64 9223372036854775807",
                ),
                (
                    "BIGINT",
                    "-9223372036854775808",
                    "int64? -9223372036854775808",
                ),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn floats_keep_their_precision() {
    read(
        Server::MariaDb,
        &[],
        &[
            ("FLOAT NOT NULL", "1.0", "float32 1"),
            ("DOUBLE", "1.0", "float64? 1"),
        ],
    )
    .await;
    // its REAL has 64 bits
    read(
        Server::Sqlite,
        &[],
        &[
            ("REAL NOT NULL", "1.0", "float64 1"),
            ("DOUBLE", "1.0", "float64? 1"),
        ],
    )
    .await;
    read(
        Server::Postgres,
        &[],
        &[
            ("REAL NOT NULL", "1.0", "float32 1"),
            ("DOUBLE PRECISION", "1.0", "float64? 1"),
            ("DOUBLE PRECISION", "'NaN'", "float64? NaN"),
            ("REAL", "'-Infinity'", "float32? -inf"),
        ],
    )
    .await;
}

#[tokio::test]
async fn fixed_text_keeps_the_servers_padding() {
    read(
        Server::MariaDb,
        &[],
        &[("CHAR(5) NOT NULL", "'a'", "string a")],
    )
    .await;
    read(
        Server::Postgres,
        &[],
        &[("CHAR(5) NOT NULL", "'a'", "string a    ")],
    )
    .await;
    read(
        Server::Sqlite,
        &[],
        &[("CHAR(5) NOT NULL", "'a'", "string a")],
    )
    .await;
}

#[tokio::test]
async fn text_columns_are_strings() {
    for server in DATABASES {
        let columns = [
            ("VARCHAR(5) NOT NULL", "'a'", "string a"),
            ("TEXT", "'ä😀'", "string? ä😀"),
            ("TEXT", "''", "string? "),
        ];
        read(server, &[], &columns).await;
    }
}

#[tokio::test]
async fn binary_columns_are_bytes() {
    let binary = ("BINARY(5)", "'a'", "bytes? 6100000000");
    read(
        Server::MariaDb,
        &[],
        &[("BLOB NOT NULL", "'a'", "bytes 61"), binary],
    )
    .await;
    read(
        Server::Postgres,
        &[],
        &[
            ("BYTEA NOT NULL", "'a'", "bytes 61"),
            ("BYTEA", "''", "bytes? "),
        ],
    )
    .await;
    let binary = [
        ("BINARY(5)", "'a'", "bytes? 61"),
        ("VARBINARY(5)", "x'00ff'", "bytes? 00ff"),
    ];
    read(
        Server::Sqlite,
        &[],
        &[&[("BLOB NOT NULL", "'a'", "bytes 61")][..], &binary].concat(),
    )
    .await;
}

#[tokio::test]
async fn decimals_are_connect_decimals_of_their_scale() {
    for server in DATABASES {
        read(
            server,
            &[],
            &[
                (
                    "DECIMAL(5,2) NOT NULL",
                    "123.45",
                    "bytes Decimal(5,2) 123.45",
                ),
                ("DECIMAL(5,2)", "-0.10", "bytes? Decimal(5,2) -0.10"),
                ("DECIMAL(5,2)", "NULL", "bytes? Decimal(5,2) null"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn dates_are_connect_dates() {
    for server in DATABASES {
        read(
            server,
            &[],
            &[
                ("DATE NOT NULL", "'1977-02-13'", "int32 Date 2600"),
                ("DATE", "NULL", "int32? Date null"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn times_are_connect_times() {
    for server in SERVERS {
        let columns = [
            ("TIME NOT NULL", "'23:03:20'", "int32 Time 83000000"),
            ("TIME(6)", "'00:00:00.001999'", "int32? Time 1"),
            ("TIME", "'24:00:00'", "int32? Time 86400000"),
        ];
        read(server, &[], &columns).await;
    }
    let columns = [
        ("TIME NOT NULL", "'23:03:20'", "int32 Time 83000000"),
        ("TIME", "'00:00:00.001999'", "int32? Time 1"),
        ("TIME", "83000000", "int32? Time 83000000"),
    ];
    read(Server::Sqlite, &[], &columns).await;
}

#[tokio::test]
async fn timestamps_are_connect_timestamps() {
    for server in DATABASES {
        let columns = [
            (
                "{stamp} NOT NULL",
                "'1977-02-13 23:03:20'",
                "int64 Timestamp 224723000000",
            ),
            (
                "{stamp}",
                "'1969-12-31 23:59:59.999'",
                "int64? Timestamp -1",
            ),
        ];
        read(server, &[], &columns).await;
    }
}

#[tokio::test]
async fn old_dates_follow_the_configured_calendar() {
    for server in DATABASES {
        for (calendar, days) in [
            ("LEGACY", "int32? Date -719164"),
            ("PROLEPTIC_GREGORIAN", "int32? Date -719162"),
        ] {
            read(
                server,
                &[("date.calendar.system", calendar)],
                &[("DATE", "'0001-01-01'", days)],
            )
            .await;
        }
    }
}

/// SQLite's date-times have no type of their own: their storage class determines their format.
#[tokio::test]
async fn timestamps_of_sqlite_are_read_in_every_format() {
    let columns = [
        ("TIMESTAMP", "224723000000", "int64? Timestamp 224723000000"),
        (
            "DATETIME",
            "julianday('1977-02-13 23:03:20')",
            "int64? Timestamp 224723000000",
        ),
        (
            "TIMESTAMP",
            "'1977-02-14T00:03:20.5+01:00'",
            "int64? Timestamp 224723000500",
        ),
        ("DATE", "224640000000", "int32? Date 2600"),
    ];
    read(Server::Sqlite, &[], &columns).await;
}

/// NUMERIC(8,0), (10,2) and (20,5) under a mapping.
async fn numerics(mapping: &str, want: [&str; 3]) {
    let columns = [
        ("NUMERIC(8,0)", "12345678", want[0]),
        ("NUMERIC(10,2)", "1.25", want[1]),
        ("NUMERIC(20,5)", "2.5", want[2]),
    ];
    read(Server::Postgres, &[("numeric.mapping", mapping)], &columns).await;
}

#[tokio::test]
async fn numeric_mapping_none_keeps_decimals() {
    let want = [
        "bytes? Decimal(8,0) 12345678",
        "bytes? Decimal(10,2) 1.25",
        "bytes? Decimal(20,5) 2.50000",
    ];
    numerics("none", want).await;
}

#[tokio::test]
async fn numeric_mapping_precision_only_maps_integers_and_best_fit_fractions_too() {
    numerics(
        "precision_only",
        [
            "int32? 12345678",
            "bytes? Decimal(10,2) 1.25",
            "bytes? Decimal(20,5) 2.50000",
        ],
    )
    .await;
    numerics(
        "best_fit",
        [
            "int32? 12345678",
            "float64? 1.25",
            "bytes? Decimal(20,5) 2.50000",
        ],
    )
    .await;
}

#[tokio::test]
async fn numeric_mapping_best_fit_eager_double_makes_doubles() {
    numerics(
        "best_fit_eager_double",
        ["int32? 12345678", "float64? 1.25", "float64? 2.5"],
    )
    .await;
}

#[tokio::test]
async fn json_and_uuid_are_strings() {
    let uuid = "01020304-0506-0708-090a-0b0c0d0e0f10";
    let (quoted, text) = (format!("'{uuid}'"), format!("string? {uuid}"));
    let json = ("JSON", "'{\"a\": 1}'", "string? {\"a\": 1}");
    read(Server::MariaDb, &[], &[json, ("UUID", &quoted, &text)]).await;
    let jsonb = ("JSONB", "'{\"b\":[1,  2]}'", "string? {\"b\": [1, 2]}");
    read(
        Server::Postgres,
        &[],
        &[json, jsonb, ("UUID", &quoted, &text)],
    )
    .await;
}

#[tokio::test]
async fn a_table_of_all_common_types_is_read_in_one_record() {
    let nanos = [("timestamp.granularity", "nanos_long")];
    let columns = [
        ("SMALLINT", "-1", "int16? -1"),
        ("INTEGER", "2", "int32? 2"),
        ("BIGINT", "3", "int64? 3"),
        ("NUMERIC(9,4)", "4.5", "bytes? Decimal(9,4) 4.5000"),
        ("REAL", "0.5", "float32? 0.5"),
        ("DOUBLE PRECISION", "0.25", "float64? 0.25"),
        ("CHAR(3)", "'abc'", "string? abc"),
        ("VARCHAR(9)", "'def'", "string? def"),
        ("TEXT", "'ghi'", "string? ghi"),
        ("DATE", "'2024-02-29'", "int32? Date 19782"),
        ("TIME", "'12:30:45'", "int32? Time 45045000"),
        (
            "TIMESTAMP(6)",
            "'2024-02-29 12:34:56.789012'",
            "int64? 1709210096789012000",
        ),
    ];
    for server in SERVERS {
        let columns: Vec<_> = columns
            .iter()
            .filter(|(ty, ..)| server == Server::Postgres || *ty != "REAL")
            .map(|(ty, value, want)| {
                if ty.starts_with("TIMESTAMP") {
                    (server_stamp(server), *value, *want)
                } else {
                    (*ty, *value, *want)
                }
            })
            .collect();
        read(server, &nanos, &columns).await;
    }
}

fn server_stamp(server: Server) -> &'static str {
    if server == Server::MariaDb {
        "DATETIME(6)"
    } else {
        "TIMESTAMP(6)"
    }
}

#[tokio::test]
async fn large_unsigned_integers_follow_their_handling_mode() {
    let key = "bigint.unsigned.handling.mode";
    for (value, precise) in [
        (
            "18446744073709551615",
            "bytes? Decimal(20,0) 18446744073709551615",
        ),
        (
            "14446744073709551615",
            "bytes? Decimal(20,0) 14446744073709551615",
        ),
        ("0", "bytes? Decimal(20,0) 0"),
    ] {
        let column = "BIGINT UNSIGNED";
        read(
            Server::MariaDb,
            &[(key, "precise")],
            &[(column, value, precise)],
        )
        .await;
        read(
            Server::MariaDb,
            &[(key, "string")],
            &[(column, value, &format!("string? {value}"))],
        )
        .await;
    }
    let mut fixture = Fixture::new(Server::MariaDb, &[("mode", "bulk")]).await;
    fixture
        .sql("CREATE TABLE test (id INT PRIMARY KEY, c BIGINT UNSIGNED)")
        .await;
    fixture
        .sql("INSERT INTO test VALUES (1, 9223372036854775808)")
        .await;
    let mut task = fixture.open().await;
    let error = loop {
        match task.poll().await {
            Ok(batch) => assert!(batch.records.is_empty()),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains(key), "{error}");
    task.close().await;
}

#[tokio::test]
async fn tinyint_is_a_number() {
    let columns = [
        ("TINYINT", "100", "int8? 100"),
        ("TINYINT(1)", "5", "int8? 5"),
        ("BOOLEAN", "TRUE", "int8? 1"),
        ("BOOLEAN", "-1", "int8? -1"),
        ("TINYINT UNSIGNED", "255", "int16? 255"),
        ("TINYINT(1) UNSIGNED", "255", "int16? 255"),
    ];
    read(Server::MariaDb, &[], &columns).await;
}

#[tokio::test]
async fn years_are_dates_of_january_first_or_numbers() {
    let columns = [
        ("YEAR", "18", "int32? Date 17532"),
        ("YEAR", "2018", "int32? Date 17532"),
        ("YEAR", "78", "int32? Date 2922"),
        ("YEAR", "1978", "int32? Date 2922"),
        ("DATE", "'2018-04-01'", "int32? Date 17622"),
        (
            "DATETIME",
            "'2018-04-01 12:34:56'",
            "int64? Timestamp 1522586096000",
        ),
    ];
    read(Server::MariaDb, &[], &columns).await;
    let mut fixture = Fixture::new(
        Server::MariaDb,
        &[
            ("mode", "bulk"),
            ("date.calendar.system", "proleptic_gregorian"),
        ],
    )
    .await;
    let url = fixture
        .config()
        .get("connection.url")
        .unwrap_or_default()
        .to_owned()
        + "?yearIsDateType=false";
    fixture.set(&[("connection.url", &url), ("poll.interval.ms", "3600000")]);
    let year = ("YEAR", "18", "int32? 2018");
    check(
        &mut fixture,
        &[year, ("DATE", "'0018-04-01'", "int32? Date -712863")],
    )
    .await;
}

#[tokio::test]
async fn zero_dates_are_null_and_the_field_is_optional() {
    let mut fixture = Fixture::new(
        Server::MariaDb,
        &[("mode", "incrementing"), ("incrementing.column.name", "id")],
    )
    .await;
    fixture.sql("SET sql_mode = ''").await;
    fixture
        .sql("CREATE TABLE test (id INT PRIMARY KEY, d DATE NOT NULL, dt DATETIME NOT NULL, ts TIMESTAMP NOT NULL)")
        .await;
    fixture
        .sql("INSERT INTO test VALUES (1, '1970-01-01', '1970-01-01', '1970-01-01 00:00:01')")
        .await;
    fixture
        .sql("INSERT INTO test VALUES (2, '0000-00-00', '0000-00-00', '0000-00-00')")
        .await;
    fixture.sql("INSERT INTO test VALUES (3, '2024-06-15', '2024-06-15 12:34:56', '2024-06-15 12:34:56')").await;
    fixture.sql("INSERT INTO test VALUES (4, '2024-02-00', '2024-00-15 12:34:56', '2024-06-15 12:34:56')").await;
    let mut task = fixture.open().await;
    let records = fixture.read(&mut *task, 4).await;
    let fields: Vec<_> = records
        .iter()
        .map(|r| ["d", "dt", "ts"].map(|name| described(r, name)))
        .collect();
    assert_eq!(
        fields[0],
        ["int32 Date 0", "int64 Timestamp 0", "int64 Timestamp 1000"]
    );
    assert_eq!(
        fields[1],
        [
            "int32? Date null",
            "int64? Timestamp null",
            "int64? Timestamp null"
        ]
    );
    let real = "int64 Timestamp 1718454896000";
    assert_eq!(fields[2], ["int32 Date 19889", real, real]);
    assert_eq!(
        fields[3],
        ["string 2024-02-00", "string 2024-00-15 12:34:56", real]
    );
    let warnings = task.progress().warnings;
    assert!(
        warnings.iter().any(|text| text.starts_with("column d has")),
        "{warnings:?}"
    );
    task.close().await;
}

#[tokio::test]
async fn uuids_can_be_keys() {
    for server in SERVERS {
        let keys = [
            ("mode", "bulk"),
            ("key.mode", "primary_key"),
            ("poll.interval.ms", "3600000"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        let (zeros, ones) = (
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        );
        fixture.sql("CREATE TABLE test (id UUID PRIMARY KEY)").await;
        fixture
            .sql(&format!("INSERT INTO test VALUES ('{zeros}'), ('{ones}'), ('01020304-0506-0708-090a-0b0c0d0e0f10')"))
            .await;
        let mut task = fixture.open().await;
        let mut seen = fixture.column(&mut *task, "id", 3).await;
        seen.sort();
        assert_eq!(seen, [zeros, "01020304-0506-0708-090a-0b0c0d0e0f10", ones]);
        fixture.nothing_more(&mut *task).await;
        task.close().await;
    }
}

#[tokio::test]
async fn columns_are_found_in_any_letter_case() {
    for server in DATABASES {
        let keys = [
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "MODIFIED"),
            ("incrementing.column.name", "Id"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture
            .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {stamp} NOT NULL)")
            .await;
        fixture
            .sql("INSERT INTO test VALUES (1, '1970-01-01 00:00:00.010')")
            .await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
        task.close().await;
    }
    let keys = [("mode", "incrementing"), ("incrementing.column.name", "ID")];
    let mut fixture = Fixture::new(Server::Postgres, &keys).await;
    fixture
        .sql("CREATE TABLE test (id INT NOT NULL, \"Id\" INT NOT NULL)")
        .await;
    let error = fixture
        .try_open()
        .await
        .err()
        .expect("two columns that differ in case alone");
    assert!(error.message().contains("ID"), "{error}");
}

/// What a search path that has `x` before the system's schema would find in place of its own.
pub const SHADOWS: &str = "CREATE SCHEMA x; CREATE TYPE x.date AS (a INT, b pg_catalog.text); \
     CREATE TYPE x.text AS ENUM ('one'); CREATE DOMAIN x.uuid AS INT; CREATE TYPE x.integer AS RANGE (subtype = float8); \
     CREATE TYPE x.int8 AS (a INT); CREATE TYPE x.int4 AS (a INT); CREATE TYPE x.timestamp AS (a INT); \
     CREATE TYPE x.bytea AS (a INT); CREATE TYPE x.jsonb AS (a INT); CREATE TYPE x._odd AS (a INT); \
     CREATE FUNCTION x.version() RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE FUNCTION x.pg_backend_pid() RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE FUNCTION x.current_schema() RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE FUNCTION x.current_database() RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE FUNCTION x.clock_timestamp() RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE FUNCTION x.max(INT) RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE FUNCTION x.min(INT) RETURNS INT LANGUAGE sql AS 'SELECT 1/0'; \
     CREATE VIEW x.pg_stat_activity AS SELECT 1 AS a";

#[tokio::test]
async fn types_and_functions_named_like_the_systems_are_not_taken_for_them() {
    let columns: [Column<'_>; 8] = [
        ("x.date", "(7, 'y')", "string? (7,y)"),
        ("x.date[]", "ARRAY[(7, 'y')::x.date]", "string? {\"(7,y)\"}"),
        ("x.text", "'one'", "string? one"),
        ("x.uuid", "7", "int32? 7"),
        ("x.integer", "'[1,2)'", "string? [1,2)"),
        ("x._odd", "ROW(7)", "string? (7)"),
        ("pg_catalog.date", "'1970-01-02'", "int32? Date 1"),
        ("pg_catalog.text", "'y'", "string? y"),
    ];
    for (path, mode) in [
        ("public", "bulk"),
        ("x,pg_catalog,public", "bulk"),
        ("x,pg_catalog,public", "incrementing"),
    ] {
        let mut fixture = Fixture::new(
            Server::Postgres,
            &[("mode", mode), ("incrementing.column.name", "id")],
        )
        .await;
        fixture.sql(SHADOWS).await;
        let url = fixture.config().get("connection.url").unwrap().to_owned();
        fixture.set(&[("connection.url", &format!("{url}?currentSchema={path}"))]);
        check(&mut fixture, &columns).await;
    }
}

#[tokio::test]
async fn one_bit_is_a_truth_value_where_the_url_says_so() {
    for (scheme, parameters, tiny, bit) in [
        (
            "mariadb",
            "transformedBitIsBoolean=true",
            "boolean? true",
            "boolean? true",
        ),
        (
            "mysql",
            "transformedBitIsBoolean=true",
            "boolean? true",
            "int8? 1",
        ),
        (
            "mariadb",
            "transformedBitIsBoolean=true&tinyInt1isBit=false",
            "int8? 1",
            "int8? 1",
        ),
        (
            "mariadb",
            "transformedBitIsBoolean=false",
            "int8? 1",
            "int8? 1",
        ),
    ] {
        let mut fixture = Fixture::new(Server::MariaDb, &[("mode", "bulk")]).await;
        let config = fixture.config();
        let (_, place) = config
            .get("connection.url")
            .and_then(|url| url.split_once("//"))
            .unwrap();
        fixture.set(&[(
            "connection.url",
            &format!("jdbc:{scheme}://{place}?{parameters}"),
        )]);
        check(
            &mut fixture,
            &[
                ("TINYINT(1)", "1", tiny),
                ("BIT(1)", "b'1'", bit),
                ("TINYINT", "1", "int8? 1"),
            ],
        )
        .await;
        fixture.set(&[
            ("query", "SELECT c0, c1 FROM test"),
            ("table.whitelist", ""),
        ]);
        let mut task = fixture.open().await;
        let record = fixture.read(&mut *task, 1).await.remove(0);
        assert_eq!(
            [described(&record, "c0"), described(&record, "c1")],
            [tiny, bit],
            "{scheme} {parameters}"
        );
        task.close().await;
    }
}

#[tokio::test]
async fn a_server_of_another_kind_than_the_url_asks_for_is_passed_over() {
    for (parameter, fits) in [
        ("targetServerType=primary", true),
        ("targetServerType=secondary", false),
        ("target_session_attrs=standby", false),
    ] {
        let mut fixture = Fixture::new(
            Server::Postgres,
            &[("mode", "bulk"), ("connection.attempts", "1")],
        )
        .await;
        fixture
            .sql("CREATE TABLE test (id INT PRIMARY KEY); INSERT INTO test VALUES (1)")
            .await;
        let url = fixture.config().get("connection.url").unwrap().to_owned();
        fixture.set(&[("connection.url", &format!("{url}?{parameter}"))]);
        match fixture.try_open().await {
            Ok(mut task) => {
                assert!(fits, "{parameter}");
                assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
                task.close().await;
            }
            Err(error) => assert!(
                !fits && error.message().contains("requires a standby"),
                "{parameter}: {error}"
            ),
        }
    }
}
