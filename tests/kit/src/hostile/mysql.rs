//! Lies in the protocol of MariaDB and MySQL.

use std::iter::{once, repeat, repeat_n};

use super::Lie;

type Parts = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// What is sent, in parts of one packet each.
pub(super) fn parts(lie: Lie) -> Parts {
    match lie {
        Lie::Columns => Box::new(once(packet(
            &[&[0xfe][..], &(1u64 << 40).to_le_bytes()].concat(),
        ))),
        Lie::EndlessMessage => {
            let mut part = vec![0xff, 0xff, 0xff, 1];
            part.resize(4 + 0xff_ffff, b'z');
            Box::new(repeat(part))
        }
        Lie::LongNames => {
            Box::new(once(packet(&[0xfc, 0xff, 0xff])).chain(repeat(packet(&column(1 << 20)))))
        }
        Lie::CutShort => Box::new([packet(&[1]), packet(b"\x03de")].into_iter()),
        Lie::LongerThanItsMessage => {
            let longest = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
            Box::new([packet(&[1]), packet(&longest)].into_iter())
        }
        Lie::EndlessRows => {
            // a row of either form: no NULL, an empty text
            let rows = packet(&[0, 0, 0]).repeat(1000);
            Box::new(
                [packet(&[1]), packet(&column(1))]
                    .into_iter()
                    .chain(repeat(rows)),
            )
        }
        Lie::LongError => {
            let mut error = b"\xff\x28\x04#42000".to_vec();
            error.resize(15 << 20, b'z');
            Box::new(once(packet(&error)))
        }
        Lie::Announced => {
            let prepared = [0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];
            Box::new(once(packet(&prepared)).chain(repeat_n(packet(&column(1 << 20)), 200)))
        }
        Lie::Zeros => Box::new(repeat_n(vec![0; 1 << 16], 100)),
    }
}

/// A packet of less than 16 MB; clients do not look at its number.
fn packet(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short packet")
        .to_le_bytes();
    [&length[..3], &[1], payload].concat()
}

/// The description of a column of type VARCHAR.
fn column(name: usize) -> Vec<u8> {
    let mut out = b"\x03def\0\0\0\xfd".to_vec();
    out.extend(&u32::try_from(name).expect("a short name").to_le_bytes()[..3]);
    out.resize(out.len() + name, b'n');
    out.extend(b"\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0");
    out
}
