//! No input makes a converter panic: recorded bytes, cut, doubled and changed at random, into every converter in every
//! mode. `fuzz/` does the same without end. What can be read must be written, or refused, and then read back.

use std::time::{Duration, Instant};

use connector_api::{Config, Converter, Presence};
use rowferry::registry::{ConverterRole, Registry};
use serde_json::Value as Json;
use testkit::Random;

use super::data::bytes;
use super::folder;

const CLASSES: [&str; 9] = [
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.storage.StringConverter",
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
];

const FOR: Duration = Duration::from_secs(8);

/// All recorded bytes.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for name in ["json", "string", "bytes", "numbers", "headers"] {
        let text = std::fs::read_to_string(folder("converters").join(format!("{name}.json"))).unwrap();
        for case in serde_json::from_str::<Vec<Json>>(&text).unwrap() {
            let recorded = ["bytes", "again"].map(|member| &case[member]).into_iter();
            corpus.extend(recorded.filter(|json| json.get("utf8").or(json.get("hex")).is_some()).filter_map(bytes));
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
            1 => bytes.splice(from..from, random.pick(&PIECES).iter().copied()).for_each(drop),
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

#[test]
fn damaged_recordings_never_make_a_converter_panic() {
    let (mut random, corpus) = (Random::new(), corpus());
    let modes = [("true", "true"), ("true", "false"), ("false", "true"), ("false", "false")];
    let made = CLASSES.iter().flat_map(|class| modes.map(|mode| (*class, mode)));
    let made = made.map(|(class, (strict, schemas))| {
        let config = Config::from([("strict", strict), ("schemas.enable", schemas)]);
        let role = if class.ends_with("HeaderConverter") { ConverterRole::Header } else { ConverterRole::Value };
        Registry::built_in().converter(class, role, &config).unwrap()
    });
    let mut converters: Vec<Box<dyn Converter>> = made.collect();
    let (until, mut tried, mut read) = (Instant::now() + FOR, 0u64, 0u64);
    while Instant::now() < until {
        let bytes = damaged(&mut random, &corpus);
        for converter in &mut converters {
            tried += 1;
            let Ok(datum) = converter.decode("t", Some(&bytes)) else { continue };
            read += 1;
            let mut out = Vec::new();
            if let Ok(Presence::Present) = converter.encode("t", &datum, &mut out) {
                let again = converter.decode("t", Some(&out));
                assert!(again.is_ok(), "what was written is not read: {:?}", String::from_utf8_lossy(&out));
            }
        }
    }
    println!("{tried} inputs, {read} of them read");
    assert!(read > 0, "nothing was read");
}
