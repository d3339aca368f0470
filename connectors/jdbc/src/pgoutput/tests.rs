//! Messages byte by byte, and texts of every type.

use connector_api::{SchemaType, Value};

use super::message::{Change, ChangeKind, LoggedCell, Message, OldRow, decode};
use super::{Frame, decode_all, frame, text};
use crate::calendar::Calendar;
use crate::dialect::read::{ReadColumn, ValueDecoding};
use crate::zone::JdbcTimeZone;

/// A message after its length, as `decode_all` takes it.
fn framed(data: &[u8]) -> Vec<u8> {
    let mut bytes = (u32::try_from(data.len()).unwrap() + 25)
        .to_be_bytes()
        .to_vec();
    bytes.push(b'w');
    bytes.extend([0; 24]);
    bytes.extend(data);
    bytes
}

fn relation() -> Vec<u8> {
    let mut bytes = b"R\0\0\x40\x01public\0t\0d\0\x02".to_vec();
    bytes.extend(b"\x01id\0\0\0\0\x17\xff\xff\xff\xff");
    bytes.extend(b"\0v\0\0\0\0\x19\xff\xff\xff\xff");
    bytes
}

const INSERT: &[u8] = b"I\0\0\x40\x01N\0\x02t\0\0\0\x011t\0\0\0\x02ab";
const UPDATE: &[u8] = b"U\0\0\x40\x01K\0\x02t\0\0\0\x011nN\0\x02t\0\0\0\x012u";
const DELETE: &[u8] = b"D\0\0\x40\x01O\0\x02t\0\0\0\x011n";

#[test]
fn transactions_tables_and_rows_are_decoded() {
    let mut begin = b"B".to_vec();
    begin.extend(77_u64.to_be_bytes());
    begin.extend([0; 12]);
    assert_eq!(decode(&begin), Ok(Message::Begin { commit: 77 }));
    let mut commit = b"C\0".to_vec();
    commit.extend(77_u64.to_be_bytes());
    commit.extend(99_u64.to_be_bytes());
    commit.extend([0; 8]);
    assert_eq!(decode(&commit), Ok(Message::Commit { end: 99 }));
    let bytes = relation();
    let Ok(Message::Relation(found)) = decode(&bytes) else {
        panic!("no relation");
    };
    assert_eq!((&*found.schema, &*found.table), ("public", "t"));
    assert_eq!(found.columns[1].name, "v");
    assert_eq!(found.columns[1].modifier, -1);
    let change = |kind, old, new| {
        Ok(Message::Change(Change {
            kind,
            relation: 0x4001,
            old,
            new,
        }))
    };
    let row = |id: &'static [u8], v| vec![LoggedCell::Text(id), v];
    let want = change(
        ChangeKind::Insert,
        None,
        Some(row(b"1", LoggedCell::Text(b"ab"))),
    );
    assert_eq!(decode(INSERT), want);
    let old = Some((OldRow::Key, row(b"1", LoggedCell::Null)));
    let want = change(
        ChangeKind::Update,
        old,
        Some(row(b"2", LoggedCell::Unchanged)),
    );
    assert_eq!(decode(UPDATE), want);
    let old = Some((OldRow::Full, row(b"1", LoggedCell::Null)));
    assert_eq!(decode(DELETE), change(ChangeKind::Delete, old, None));
    let truncate = b"T\0\0\0\x02\0\0\0\x40\x01\0\0\x40\x02";
    assert_eq!(
        decode(truncate),
        Ok(Message::Truncate(vec![0x4001, 0x4002]))
    );
    assert_eq!(decode(b"O\0\0\0\0\0\0\0\0x\0"), Ok(Message::Other));
    assert!(decode(b"?").is_err());
}

#[test]
fn keepalives_say_how_far_the_log_was_sent() {
    let mut bytes = b"k".to_vec();
    bytes.extend(1234_u64.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.push(1);
    let want = Frame::Keepalive {
        sent: 1234,
        asks: true,
    };
    assert_eq!(frame(&bytes), Ok(want));
}

#[test]
fn cut_and_damaged_messages_are_errors_and_never_more() {
    let mut file = framed(&relation());
    for message in [INSERT, UPDATE, DELETE] {
        file.extend(framed(message));
    }
    assert_eq!(decode_all(&file), Ok(3));
    for message in [&relation()[..], INSERT, UPDATE, DELETE] {
        for end in 0..message.len() {
            assert!(decode(&message[..end]).is_err(), "cut at {end}");
        }
    }
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            drop(decode_all(&damaged));
        }
    }
}

#[test]
fn texts_of_every_type_become_the_values_of_the_binary_form() {
    let int = |ty| ValueDecoding::Int(ty);
    let date = ValueDecoding::Date(Calendar::Proleptic);
    let time = ValueDecoding::Time(JdbcTimeZone::default());
    for (read, data_type, shown, want) in [
        (ValueDecoding::Bool, "bool", "t", Value::Bool(true)),
        (ValueDecoding::Bool, "bit", "0", Value::Bool(false)),
        (int(SchemaType::Int16), "int2", "-5", Value::I16(-5)),
        (ValueDecoding::F32, "float4", "0.1", Value::F32(0.1)),
        (
            ValueDecoding::F64,
            "float8",
            "Infinity",
            Value::F64(f64::INFINITY),
        ),
        (
            ValueDecoding::F64,
            "money",
            "-$1,234.50",
            Value::F64(-1234.5),
        ),
        (
            ValueDecoding::F64,
            "money",
            "1.234,50 €",
            Value::F64(1234.5),
        ),
        (
            ValueDecoding::Bytes,
            "bytea",
            "\\x00ff",
            Value::Bytes([0, 255].into()),
        ),
        (ValueDecoding::BitInt, "bit", "101", Value::I8(5)),
        (
            ValueDecoding::Text,
            "inet",
            "::1",
            Value::Text("::1/128".into()),
        ),
        (
            ValueDecoding::Text,
            "inet",
            "10.0.0.0/8",
            Value::Text("10.0.0.0/8".into()),
        ),
        (date.clone(), "date", "2000-01-02", Value::I32(10_958)),
        (date.clone(), "date", "0001-12-31 BC", Value::I32(-719_163)),
        (date, "date", "infinity", Value::I32(i32::MAX)),
        (time.clone(), "time", "00:00:01.5", Value::I32(1500)),
        (time, "timetz", "01:00:00+02", Value::I32(23 * 3_600_000)),
    ] {
        let column = ReadColumn::new("c", true, read);
        let found = text::value(&column, data_type, shown.as_bytes()).unwrap();
        assert_eq!(found, want, "{data_type} {shown}");
    }
    let column = ReadColumn::new("c", true, ValueDecoding::Int(SchemaType::Int32));
    let error = text::value(&column, "int4", b"secret").unwrap_err();
    assert!(!error.to_string().contains("secret"));
}
