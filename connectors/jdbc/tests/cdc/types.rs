//! Values of every type: what is captured is what polling makes of it.

use connector_api::{Record, Value};

use crate::topic::{Capture, Topic};

/// Columns of every type, and values at their edges.
const TYPES: &str = "CREATE TABLE t (id INT PRIMARY KEY, i8 TINYINT, u8 TINYINT UNSIGNED, b TINYINT(1), i16 SMALLINT, \
    u16 SMALLINT UNSIGNED, i24 MEDIUMINT, u24 MEDIUMINT UNSIGNED, u32 INT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED, \
    f FLOAT, g DOUBLE, d1 DECIMAL(10,2), d2 DECIMAL(65,30), d3 DECIMAL(9,9), z INT(8) ZEROFILL, b1 BIT(1), b12 BIT(12), \
    y YEAR, da DATE, t0 TIME, t3 TIME(3), t6 TIME(6), dt0 DATETIME, dt3 DATETIME(3), dt6 DATETIME(6), \
    ts0 TIMESTAMP NULL, ts2 TIMESTAMP(2) NULL, ts6 TIMESTAMP(6) NULL, c CHAR(10), cl CHAR(200) CHARACTER SET utf8mb4, \
    v VARCHAR(20), vl VARCHAR(2000) CHARACTER SET utf8mb4, l1 VARCHAR(20) CHARACTER SET latin1, \
    l2 VARCHAR(20) CHARACTER SET latin2, w VARCHAR(20) CHARACTER SET utf16, gb VARCHAR(20) CHARACTER SET gbk, \
    ko VARCHAR(20) CHARACTER SET koi8r, ja VARCHAR(20) CHARACTER SET cp932, bi BINARY(6), vb VARBINARY(10), tt TINYTEXT, \
    tx TEXT CHARACTER SET utf8mb4, bl BLOB, js JSON, en ENUM('a','b''c','ö'), se SET('x','y','z'), uu UUID, i6 INET6, \
    i4 INET4, ge POINT, vc VARCHAR(500) COMPRESSED CHARACTER SET utf8mb4, bc BLOB COMPRESSED, \
    gen INT AS (id + 1) VIRTUAL, hid INT INVISIBLE DEFAULT 7)";

const VALUES: &[&str] = &[
    "(-128, 255, 1, -32768, 65535, -8388608, 16777215, 4294967295, -9223372036854775808, 9223372036854775807, 1.5, \
     -2.25, -12345678.90, 12345678901234567890123456789012345.000000000000000000000000000001, 0.000000001, 42, b'1', \
     b'101010101010', 2024, '2024-02-29', '-838:59:59', '-00:00:00.001', '01:02:03.000004', '2024-02-29 23:59:59', \
     '0001-01-01 00:00:00.123', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', '2001-09-09 01:46:40.25', \
     '2038-01-19 03:14:07.999999', 'ab', REPEAT('ü',200), 'varchar', REPEAT('x',300), 'ä€', 'ąč', 'a😀', '中文', 'привет', \
     'ｱ日本', X'010200000000', X'00FF00', 'tiny', 'text ü', X'DEADBEEF00', '{\"a\": 1}', 'b''c', 'x,z', \
     '123e4567-e89b-12d3-a456-426655440000', '2001:db8::1', '192.0.2.0', POINT(1,2), REPEAT('compressed ü ', 20), \
     REPEAT('z', 200))",
    "(0, 0, 0, 0, 0, -1, 1, 0, -1, 0, -0.1, 1e300, 0.5, -1, -0.5, 0, b'0', b'1', 0, '0000-00-00', '00:00:00', \
     '23:59:59.999', '-01:02:03.5', '2024-00-00 00:00:00', '1000-01-01 00:00:00', '1969-12-31 23:59:59.000001', 0, \
     '1970-01-01 00:00:00.01', '1970-01-01 00:00:00.000001', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', \
     '[]', '', '', '00000000-0000-0000-0000-000000000000', '::ffff:1.2.3.4', '0.0.0.0', POINT(0,0), '', '')",
    "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "(127, 1, 2, 32767, 1, 8388607, 0, 1, 1, 1, 16777216, 0, 99999999.99, 0.1, 0.999999999, 12345678, NULL, NULL, 2155, \
     '9999-12-31', '838:59:59', '24:00:00', '00:00:00.000001', '1582-10-10 00:00:00', '1582-10-04 12:00:00', \
     '2024-03-31 02:30:00', '2024-03-31 02:30:00', '2024-10-27 01:30:00', '2024-10-27 01:30:00', 'a b', 'ß', '  x ', \
     REPEAT('ü',1000), 'ÿ', 'Ł', 'ab', 'x', 'Ё', '\\\\', X'000000000001', X'', REPEAT('t',255), REPEAT('y',70000), \
     REPEAT('q',60000), 'null', 'ö', 'x,y,z', '12345678-0000-0000-0000-000000000000', '::', '255.255.255.255', \
     POINT(-1.5,1e10), 'short', 'short')",
];

fn insert(id: usize, values: &str) -> String {
    format!(
        "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'; SET time_zone = '+00:00'; \
         INSERT INTO t (id, i8, u8, b, i16, u16, i24, u24, u32, i64, u64, f, g, d1, d2, d3, z, b1, b12, y, da, t0, t3, t6, \
         dt0, dt3, dt6, ts0, ts2, ts6, c, cl, v, vl, l1, l2, w, gb, ko, ja, bi, vb, tt, tx, bl, js, en, se, uu, i6, i4, ge, \
         vc, bc) VALUES ({id}, {};",
        values.trim_start_matches('(')
    )
}

/// The records of a table that is polled as a whole.
async fn polled(capture: &Capture) -> Vec<Record> {
    let mut config = capture.config.clone();
    config.set("mode", "bulk");
    let topic = Topic::default();
    let mut task = topic.open_any(&config).await;
    let mut records = Vec::new();
    while records.len() < 2 * VALUES.len() {
        records.extend(task.poll().await.unwrap().records);
    }
    task.close().await;
    records
}

#[tokio::test]
async fn captured_rows_are_the_records_that_polling_makes_of_them() {
    for (metadata, keys) in [
        ("FULL", &[][..]),
        ("NO_LOG", &[("timestamp.granularity", "micros_long")][..]),
        (
            "MINIMAL",
            &[
                ("numeric.mapping", "best_fit"),
                ("column.types", "carry"),
                ("db.timezone", "Europe/Berlin"),
            ][..],
        ),
    ] {
        let capture = Capture::new(TYPES, keys).await;
        capture
            .run(&format!("SET GLOBAL binlog_row_metadata = {metadata}"))
            .await;
        for (n, values) in VALUES.iter().enumerate() {
            capture.run(&insert(n, values)).await;
        }
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic
            .poll(&mut *task, |topic| topic.records.len() >= VALUES.len())
            .await;
        for (n, values) in VALUES.iter().enumerate() {
            capture.run(&insert(VALUES.len() + n, values)).await;
        }
        topic
            .poll(&mut *task, |topic| topic.records.len() >= 2 * VALUES.len())
            .await;
        task.close().await;
        let polled = polled(&capture).await;
        for (captured, polled) in topic.records.iter().zip(&polled) {
            let (Value::Struct(left), Value::Struct(right)) =
                (&captured.value.value, &polled.value.value)
            else {
                panic!("{captured:?}");
            };
            let schema = polled.value.schema.as_ref().unwrap();
            for ((left, right), field) in left.iter().zip(right).zip(&schema.fields) {
                assert_eq!(left, right, "{} with {metadata}", field.name);
            }
            assert_eq!(captured.value.schema, polled.value.schema);
            assert_eq!(captured, polled);
        }
        assert_eq!(topic.records.len(), polled.len());
    }
}
