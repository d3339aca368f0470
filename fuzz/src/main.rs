//! Every fuzz target in one program, so that one build serves all: `ROWFERRY_FUZZ_TARGET` names the one to run.

#![no_main]

#[allow(dead_code, reason = "the tests use it otherwise")]
#[path = "../../tests/it/golden/inputs.rs"]
pub mod inputs;

/// Where the tests have it.
mod golden {
    pub use crate::inputs;
}

#[path = "../../tests/it/parsers/targets.rs"]
mod targets;

use std::sync::OnceLock;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("ROWFERRY_FUZZ_TARGET").unwrap_or_default();
        let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
        let names: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
        found
            .unwrap_or_else(|| panic!("ROWFERRY_FUZZ_TARGET is none of {}", names.join(", ")))
            .1
    });
    target(input);
});
