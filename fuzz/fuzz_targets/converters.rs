//! No input makes a converter panic, and what it writes can be read.

#![no_main]

#[allow(dead_code, reason = "the other target's")]
#[path = "../../tests/it/golden/inputs.rs"]
mod inputs;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    inputs::plain(input);
});
