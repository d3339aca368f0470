//! What a worker bears over REST: whoever can send requests does not take it down, nor away from others.

mod validations;

use testkit::{Rowferry, Settings, unique};

use crate::lab;

/// A worker of its own with these keys.
fn worker(name: &str, keys: &[(&str, &str)]) -> Rowferry {
    let settings = Settings::dev(&unique(name));
    let settings = keys.iter().fold(settings, |settings, (key, value)| settings.with(key, value));
    Rowferry::start(lab().scratch(), settings)
}
