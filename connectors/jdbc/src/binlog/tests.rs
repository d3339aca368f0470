//! The decoder on log files of MariaDB 10.11 (`recorded/`), and on damaged ones.

use super::decoder::BinlogDecoder;
use super::event::{EventBody, HEADER, size_of_event};
use super::rows::{Cell, RowChange};
use super::value::ColumnReader;
use super::{compressed, decode_file};
use crate::catalog::ColumnMeta;
use crate::dialect::mysql::decode::WireFormat;
use crate::dialect::mysql::wire_format::{WireDateTime, WireTime};

const TYPES: &[u8] = include_bytes!("recorded/types.binlog");
const PARTIAL: &[u8] = include_bytes!("recorded/partial.binlog");
const COMPRESSED: &[u8] = include_bytes!("recorded/compressed.binlog");

const MAX: usize = 1 << 20;

/// The columns of the recorded table: the type, and the values of its first and third row as the
/// server's SELECT shows them.
const COLUMNS: &[(&str, Option<&str>, &str, Option<&str>)] = &[
    ("int(11)", None, "1", Some("3")),
    ("tinyint(4)", None, "-128", None),
    ("tinyint(3) unsigned", None, "255", None),
    ("smallint(6)", None, "-32768", None),
    ("mediumint(9)", None, "-8388608", None),
    ("mediumint(8) unsigned", None, "16777215", None),
    ("int(10) unsigned", None, "4294967295", None),
    ("bigint(20)", None, "-9223372036854775808", None),
    ("bigint(20) unsigned", None, "18446744073709551615", None),
    ("float", None, "1.5", None),
    ("double", None, "-2.25", None),
    ("decimal(10,2)", None, "-12345678.90", Some("0.50")),
    (
        "decimal(65,30)",
        None,
        "12345678901234567890123456789012345.000000000000000000000000000001",
        Some("-1.000000000000000000000000000000"),
    ),
    ("decimal(9,9)", None, "0.000000001", Some("-0.500000000")),
    ("bit(1)", None, "x01", None),
    ("bit(12)", None, "x0aaa", None),
    ("year(4)", None, "2024", Some("0")),
    ("date", None, "2024-02-29", Some("0000-00-00")),
    ("time", None, "-838:59:59", Some("00:00:00")),
    ("time(3)", None, "-00:00:00.001000", None),
    ("time(6)", None, "01:02:03.000004", Some("-01:02:03.500000")),
    (
        "datetime",
        None,
        "2024-02-29 23:59:59",
        Some("2024-00-00 00:00:00"),
    ),
    ("datetime(3)", None, "0001-01-01 00:00:00.123000", None),
    ("datetime(6)", None, "9999-12-31 23:59:59.999999", None),
    (
        "timestamp",
        None,
        "1970-01-01 00:00:01",
        Some("0000-00-00 00:00:00"),
    ),
    ("timestamp(2)", None, "2001-09-09 01:46:40.250000", None),
    ("timestamp(6)", None, "2038-01-19 03:14:07.999999", None),
    ("char(10)", Some("latin1"), "ab", Some("")),
    ("char(200)", Some("utf8mb4"), "ü*200", None),
    ("varchar(20)", Some("latin1"), "varchar", None),
    ("varchar(2000)", Some("utf8mb4"), "x*300", None),
    ("varchar(20)", Some("latin1"), "ä€", None),
    ("varchar(20)", Some("latin2"), "ąč", None),
    ("varchar(20)", Some("utf16"), "a😀", None),
    ("varchar(20)", Some("gbk"), "中文", None),
    ("binary(6)", None, "x010200000000", Some("x000000000000")),
    ("varbinary(10)", None, "x00ff00", None),
    ("text", Some("utf8mb4"), "text ü", None),
    ("blob", None, "xdeadbeef00", None),
    ("longtext", Some("utf8mb4"), "{\"a\": 1}", None),
    ("enum('a','b''c','ä')", Some("utf8mb4"), "b'c", None),
    ("set('x','y','z')", Some("latin1"), "x,z", None),
    (
        "uuid",
        None,
        "123e4567-e89b-12d3-a456-426655440000",
        Some("00000000-0000-0000-0000-000000000000"),
    ),
    ("inet6", None, "2001:db8::1", Some("::ffff:1.2.3.4")),
    ("inet4", None, "192.0.2.0", None),
    (
        "point",
        None,
        "x000000000101000000000000000000f03f0000000000000040",
        None,
    ),
    (
        "varchar(500) /*M!100301 COMPRESSED*/",
        Some("utf8mb4"),
        "compressed ü *20",
        Some(""),
    ),
    ("blob /*M!100301 COMPRESSED*/", None, "z*200", Some("")),
];

fn meta((column_type, charset): (&str, Option<&str>)) -> ColumnMeta {
    let numbers: Vec<u32> = column_type
        .split(['(', ',', ')'])
        .filter_map(|part| part.parse().ok())
        .collect();
    let narrow = |n: Option<&u32>| n.and_then(|n| i32::try_from(*n).ok());
    ColumnMeta {
        name: "c".into(),
        data_type: column_type.split(['(', ' ']).next().unwrap().into(),
        column_type: column_type.into(),
        precision: narrow(numbers.first()),
        scale: narrow(numbers.get(1)),
        fraction: numbers.first().copied(),
        charset: charset.map(Into::into),
        ..ColumnMeta::default()
    }
}

/// What `text*20` means.
fn repeated(text: &str) -> String {
    match text.rsplit_once('*') {
        Some((part, count)) => part.repeat(count.parse().unwrap()),
        None => text.into(),
    }
}

fn shown(format: WireFormat, bytes: &[u8], is_text: bool) -> String {
    let mut wide = [0; 8];
    if bytes.len() <= 8 {
        wide[..bytes.len()].copy_from_slice(bytes);
    }
    match format {
        WireFormat::Int => {
            let shift = 64 - 8 * bytes.len();
            (i64::from_le_bytes(wide) << shift >> shift).to_string()
        }
        WireFormat::UnsignedInt => u64::from_le_bytes(wide).to_string(),
        WireFormat::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).to_string(),
        WireFormat::F64 => f64::from_le_bytes(bytes.try_into().unwrap()).to_string(),
        WireFormat::Date => WireDateTime::read(bytes).unwrap().date_text(),
        WireFormat::DateTime => WireDateTime::read(bytes).unwrap().text(),
        WireFormat::Time => WireTime::read(bytes).unwrap().text(),
        WireFormat::Bytes if is_text => String::from_utf8(bytes.into()).unwrap(),
        WireFormat::Bytes => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x{hex}")
        }
    }
}

/// The events of a file.
fn events(file: &'static [u8]) -> impl Iterator<Item = EventBody<'static>> {
    let mut decoder = BinlogDecoder::new(MAX, true);
    let mut rest = &file[4..];
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (bytes, after) = rest.split_at(size_of_event(rest).unwrap());
        rest = after;
        Some(decoder.decode(bytes).unwrap().1)
    })
}

#[test]
fn values_of_every_type_are_what_the_server_shows() {
    let rows: Vec<_> = events(TYPES)
        .filter_map(|event| match event {
            EventBody::Rows(rows) => Some(rows),
            _ => None,
        })
        .collect();
    let table = &rows[0].table;
    assert_eq!(table.columns.len(), COLUMNS.len());
    assert_eq!(
        table.names.as_ref().unwrap().last().map(String::as_str),
        Some("bc")
    );
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut scratch = Vec::new();
    for (event, of_first) in [(0, true), (2, false)] {
        assert!(rows[event].is_full());
        let next = rows[event].row(0, &mut before, &mut after).unwrap();
        assert_eq!(next, Some(rows[event].len()));
        assert!(before.is_empty());
        for (n, (column_type, charset, first, third)) in COLUMNS.iter().enumerate() {
            let meta = meta((column_type, *charset));
            let reader = ColumnReader::of(table.columns[n], &meta).unwrap();
            let reader = reader.unwrap_or_else(|| panic!("{column_type}: {:?}", table.columns[n]));
            let want = if of_first { Some(*first) } else { *third };
            let is_text = charset.is_some()
                || ["decimal", "uuid", "inet6", "inet4", "blob /*"]
                    .iter()
                    .any(|name| column_type.starts_with(name));
            let got = match after[n] {
                Cell::Bytes(bytes) => {
                    let (format, bytes) = reader.wire(bytes, &mut scratch).unwrap();
                    Some(shown(format, bytes, is_text))
                }
                Cell::Null => None,
                Cell::Absent => panic!("{column_type} is absent"),
            };
            assert_eq!(got, want.map(repeated), "{column_type}");
            assert_eq!(
                table.unsigned.as_ref().unwrap()[n],
                column_type.contains("unsigned") || column_type.starts_with("year"),
                "{column_type}"
            );
        }
    }
}

#[test]
fn a_log_is_a_sequence_of_transactions() {
    let shown: Vec<String> = events(TYPES)
        .filter_map(|event| {
            Some(match event {
                EventBody::Gtid(gtid) => format!(
                    "gtid{}{}{}{}",
                    if gtid.standalone { " alone" } else { "" },
                    if gtid.ddl { " ddl" } else { "" },
                    if gtid.prepares_xa { " prepares" } else { "" },
                    if gtid.completes_xa { " completes" } else { "" },
                ),
                EventBody::Query(query) => String::from_utf8_lossy(&query.sql)
                    .split(['\'', '(', 'X'])
                    .next()
                    .unwrap()
                    .into(),
                EventBody::Rows(rows) => format!("{:?}", rows.change),
                EventBody::Commit => "commit".into(),
                EventBody::XaPrepare { one_phase, .. } => format!("prepare {one_phase}"),
                EventBody::Annotate(_) => "annotate".into(),
                EventBody::Rotate { .. } => "rotate".into(),
                EventBody::GtidList(list) => format!("{} before", list.len()),
                _ => return None,
            })
        })
        .collect();
    let insert = ["gtid", "annotate", "Insert", "commit"];
    let mut want = vec!["1 before"];
    want.extend(insert.iter().chain(&insert).chain(&insert));
    want.extend(["gtid", "annotate", "Update", "commit"]);
    want.extend(["gtid", "annotate", "Delete", "commit"]);
    want.extend(["gtid alone ddl", "ALTER TABLE t COMMENT "]);
    want.extend(["gtid prepares", "annotate", "Insert", "", "prepare false"]);
    want.extend(["gtid alone completes", "", "rotate"]);
    assert_eq!(shown, want);
}

#[test]
fn images_without_all_columns_and_changes_without_rows_are_seen() {
    let mut statements = Vec::new();
    let mut partial = 0;
    for event in events(PARTIAL) {
        match event {
            EventBody::Rows(rows) => {
                assert!(!rows.is_full());
                let (mut before, mut after) = (Vec::new(), Vec::new());
                rows.row(0, &mut before, &mut after).unwrap();
                let present = |cells: &[Cell<'_>]| {
                    let there = |cell: &&Cell<'_>| **cell != Cell::Absent;
                    cells.iter().filter(there).count()
                };
                assert_eq!((present(&before), present(&after)), (1, 1));
                partial += 1;
            }
            EventBody::Query(query) => {
                statements.push(String::from_utf8(query.sql.into_owned()).unwrap());
            }
            _ => {}
        }
    }
    assert_eq!(partial, 1);
    assert!(
        statements
            .iter()
            .any(|sql| sql.starts_with("UPDATE t SET v='st'"))
    );
}

#[test]
fn compressed_events_are_as_others() {
    let mut changes = Vec::new();
    let mut created = false;
    for event in events(COMPRESSED) {
        match event {
            EventBody::Rows(rows) => changes.push(rows.change),
            EventBody::Query(query) => created |= query.sql.starts_with(b"CREATE TABLE p"),
            _ => {}
        }
    }
    let all = [RowChange::Insert, RowChange::Update, RowChange::Delete];
    assert_eq!(changes, all);
    assert!(created);
    assert_eq!(decode_file(COMPRESSED, MAX), Ok(6));
    assert!(decode_file(COMPRESSED, 100).is_err());
}

#[test]
fn cut_and_damaged_logs_are_errors_and_nothing_else() {
    for file in [TYPES, PARTIAL, COMPRESSED] {
        decode_file(file, MAX).unwrap();
        for end in 5..file.len() {
            drop(decode_file(&file[..end], MAX));
        }
        // each byte on its own, the checksum made right again
        for at in 4 + HEADER..file.len() {
            let mut damaged = file.to_vec();
            damaged[at] ^= 0xff;
            let mut start = 4;
            while let Ok(size) = size_of_event(&damaged[start..]) {
                let end = start + size;
                if damaged.len() < end || size < HEADER + 4 {
                    break;
                }
                let sum = compressed::crc32(&damaged[start..end - 4]);
                damaged[end - 4..end].copy_from_slice(&sum.to_le_bytes());
                start = end;
            }
            drop(decode_file(&damaged, MAX));
        }
    }
    let mut damaged = TYPES.to_vec();
    let last = damaged.len() - 60;
    damaged[last] ^= 1;
    assert!(
        decode_file(&damaged, MAX)
            .unwrap_err()
            .0
            .contains("checksum")
    );
}

#[test]
fn addresses_are_written_as_the_server_writes_them() {
    let text = |groups: [u16; 8]| {
        let mut bytes = [0; 16];
        for (n, group) in groups.iter().enumerate() {
            bytes[2 * n..2 * n + 2].copy_from_slice(&group.to_be_bytes());
        }
        super::text::inet6(&bytes)
    };
    for (groups, want) in [
        ([0; 8], "::"),
        ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
        ([1, 0, 0, 0, 0, 0, 0, 0], "1::"),
        ([1, 0, 2, 3, 4, 5, 6, 7], "1::2:3:4:5:6:7"),
        ([1, 0, 0, 2, 0, 0, 0, 3], "1:0:0:2::3"),
        ([0, 0, 0, 0, 0, 0, 0x0102, 0x0304], "::1.2.3.4"),
        ([0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304], "::ffff:1.2.3.4"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "1:2:3:4:5:6:7:8"),
    ] {
        assert_eq!(text(groups), want);
    }
}
