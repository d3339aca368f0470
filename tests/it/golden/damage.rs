//! No input makes a converter panic: recorded records, cut, doubled and changed at random, into every converter in every
//! mode. `scripts/fuzz` does the same by what an input reaches.

use std::time::{Duration, Instant};

use connector_api::{Config, Datum};
use rowferry::registry::{ConverterRole, Registry};
use serde_json::Value as Json;
use testkit::Random;

use super::data::bytes;
use super::{folder, inputs};

/// How long each of the two tests goes on.
const FOR: Duration = Duration::from_secs(30);
/// No input of some kilobytes may take longer, on however busy a machine.
const SLOW: Duration = Duration::from_secs(10);

/// All recorded bytes.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for name in ["json", "string", "bytes", "numbers", "headers"] {
        let text =
            std::fs::read_to_string(folder("converters").join(format!("{name}.json"))).unwrap();
        for case in serde_json::from_str::<Vec<Json>>(&text).unwrap() {
            let recorded = ["bytes", "again"].map(|member| &case[member]).into_iter();
            corpus.extend(
                recorded
                    .filter(|json| json.get("utf8").or(json.get("hex")).is_some())
                    .filter_map(bytes),
            );
        }
    }
    assert!(corpus.len() > 500, "only {} recordings", corpus.len());
    corpus
}

fn damaged(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"null",
        b"\"",
        b"\\ud83d",
        b"\xff",
        b"1e999999999",
        b"-",
        b",\"default\":{}",
        b"{\"schema\":{\"type\":\"struct\",\"fields\":[]},\"payload\":",
    ];
    let mut bytes = random.pick(corpus).clone();
    let place = |random: &mut Random, bytes: &[u8]| random.below(bytes.len() as u64 + 1) as usize;
    for _ in 0..=random.below(4) {
        let (a, b) = (place(random, &bytes), place(random, &bytes));
        let (from, to) = (a.min(b), a.max(b));
        match random.below(5) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes
                .splice(from..from, random.pick(&PIECES).iter().copied())
                .for_each(drop),
            2 if from < bytes.len() => bytes[from] = random.bits() as u8,
            3 => {
                // A part of another recording in the middle of this one.
                let other = random.pick(corpus).clone();
                bytes.splice(from..to, other).for_each(drop);
            }
            _ => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(to..to, piece).for_each(drop);
            }
        }
        bytes.truncate(50_000);
    }
    bytes
}

/// Recorded records in every format with a schema registry, as inputs of [`inputs::registered`].
fn registered_corpus() -> Vec<Vec<u8>> {
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let mut json = Registry::built_in()
        .converter(json, ConverterRole::Value, &Config::new())
        .unwrap();
    let read = corpus()
        .into_iter()
        .filter_map(|bytes| json.decode("t", Some(&bytes)).ok())
        .collect::<Vec<_>>();
    let inputs = |datum: &Datum| {
        (0..3)
            .filter_map(|format| inputs::input_of(format, datum))
            .collect::<Vec<_>>()
    };
    let inputs: Vec<_> = read.iter().flat_map(inputs).collect();
    assert!(inputs.len() > 100, "only {} records", inputs.len());
    assert!(
        inputs.iter().all(|input| inputs::registered(input)),
        "what a converter writes can be read"
    );
    inputs
}

/// Damages records and reads them, until the time is over.
fn damage(corpus: &[Vec<u8>], mut read: impl FnMut(&[u8]) -> (u64, u64)) {
    let (mut random, end) = (Random::new(), Instant::now() + FOR);
    let (mut tried, mut understood) = (0, 0);
    while Instant::now() < end {
        let (bytes, began) = (damaged(&mut random, corpus), Instant::now());
        let (more, fine) = read(&bytes);
        (tried, understood) = (tried + more, understood + fine);
        assert!(
            began.elapsed() < SLOW,
            "{:?} for {:?}",
            began.elapsed(),
            String::from_utf8_lossy(&bytes)
        );
    }
    println!("{tried} inputs, {understood} of them read");
    assert!(understood > 0, "nothing was read");
}

#[test]
fn damaged_records_never_make_a_converter_panic() {
    damage(&corpus(), |bytes| {
        let read = (0..inputs::PLAIN)
            .filter(|choice| inputs::plain(&[&[*choice], bytes].concat()))
            .count();
        (u64::from(inputs::PLAIN), read as u64)
    });
}

#[test]
fn damaged_records_and_schemas_never_make_a_converter_with_a_registry_panic() {
    damage(&registered_corpus(), |input| {
        (1, u64::from(inputs::registered(input)))
    });
}
