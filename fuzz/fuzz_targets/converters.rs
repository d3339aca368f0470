//! No input makes a converter panic: the first byte chooses the converter and its mode, the rest is the record. What can
//! be read is written again, and must then read back.
//!
//! Seeds: `tests/it/golden/damage.rs` does the same with damaged recordings, for a while, on a stable compiler.

#![no_main]

use std::cell::RefCell;

use connector_api::{Config, Converter, Presence};
use libfuzzer_sys::fuzz_target;
use rowferry::registry::{ConverterRole, Registry};

const CLASSES: [&str; 6] = [
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.storage.StringConverter",
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.BooleanConverter",
];

thread_local! {
    static CONVERTERS: RefCell<Vec<Box<dyn Converter>>> = RefCell::new(all());
}

/// Each class in each mode.
fn all() -> Vec<Box<dyn Converter>> {
    let modes = [("true", "true"), ("true", "false"), ("false", "true"), ("false", "false")];
    let made = CLASSES.iter().flat_map(|class| modes.map(|mode| (*class, mode)));
    made.map(|(class, (strict, schemas))| {
        let config = Config::from([("strict", strict), ("schemas.enable", schemas)]);
        let role = if class.ends_with("HeaderConverter") { ConverterRole::Header } else { ConverterRole::Value };
        Registry::built_in().converter(class, role, &config).expect("a converter")
    })
    .collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    CONVERTERS.with_borrow_mut(|converters| {
        let at = usize::from(*choice) % converters.len();
        let converter = &mut converters[at];
        let Ok(datum) = converter.decode("t", Some(bytes)) else { return };
        let mut out = Vec::new();
        if let Ok(Presence::Present) = converter.encode("t", &datum, &mut out) {
            let _ = converter.decode("t", Some(&out));
        }
    });
});
