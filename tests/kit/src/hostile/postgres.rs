//! Lies in the protocol of PostgreSQL.

use std::iter::{once, repeat, repeat_n};

use super::Lie;

type Parts = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// What is sent, in parts of one message or a piece of one.
pub(super) fn parts(lie: Lie) -> Parts {
    match lie {
        Lie::Columns => Box::new(once(message(b'T', &[0xff, 0xff]))),
        Lie::EndlessMessage => {
            Box::new(once(b"D\xff\xff\xff\xff\xff\xff".to_vec()).chain(repeat(vec![b'z'; 1 << 20])))
        }
        Lie::LongNames => {
            let names = column(60_000).repeat(1000);
            Box::new(once(message(
                b'T',
                &[&1000u16.to_be_bytes()[..], &names].concat(),
            )))
        }
        Lie::CutShort => Box::new(once(message(b'T', b"\0\x01name\0\0\0"))),
        Lie::LongerThanItsMessage => {
            let row = [0, 1, 0x7f, 0xff, 0xff, 0, b'a'];
            Box::new(
                [
                    ready(),
                    message(b'T', &described()),
                    message(b'D', &row),
                    done(),
                ]
                .into_iter(),
            )
        }
        Lie::EndlessRows => {
            let rows = message(b'D', &[0, 1, 0, 0, 0, 1, b'a']).repeat(1000);
            Box::new(
                [ready(), message(b'T', &described())]
                    .into_iter()
                    .chain(repeat(rows)),
            )
        }
        Lie::LongError => {
            let mut error = b"SERROR\0C42601\0M".to_vec();
            error.resize(15 << 20, b'z');
            error.extend(b"\0\0");
            Box::new(once(message(b'E', &error)))
        }
        Lie::Announced => Box::new((0u64..).map(|n| {
            message(
                b'S',
                &[format!("name{n}\0").as_bytes(), &[b'v'; 1000], &[0]].concat(),
            )
        })),
        Lie::Zeros => Box::new(repeat_n(vec![0; 1 << 16], 100)),
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4)
        .expect("a short message")
        .to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// What comes before a result: the statement is parsed and bound, without parameters.
fn ready() -> Vec<u8> {
    [
        message(b'1', b""),
        message(b't', &[0, 0]),
        message(b'T', &described()),
        message(b'Z', b"I"),
        message(b'2', b""),
    ]
    .concat()
}

fn done() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

fn described() -> Vec<u8> {
    [&[0, 1][..], &column(1)].concat()
}

/// The description of a column of type text.
fn column(name: usize) -> Vec<u8> {
    let mut out = vec![b'n'; name];
    out.extend(b"\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    out
}
