//! A wall clock of its own for one process, which differs from the machine's and may jump. A small library, compiled
//! from `tests/kit/clock`, takes the place of the call that reads the clock.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use crate::lab::{Scratch, unique};
use crate::process::project_folder;

/// A clock that differs from the machine's.
pub struct ShiftedClock {
    library: PathBuf,
    shift: PathBuf,
}

impl ShiftedClock {
    /// A clock that is so many seconds ahead.
    pub fn new(scratch: &Scratch, seconds: i64) -> Self {
        static COMPILING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = COMPILING.lock();
        let library = scratch.path().join("shifted-clock.so");
        if !library.is_file() {
            let source = project_folder().join("tests/kit/clock/shift.c");
            let compiled = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-o"])
                .args([&library, &source])
                .arg("-ldl")
                .status();
            assert!(compiled.expect("run cc").success(), "cc failed");
        }
        let shift = scratch.path().join(unique("clock-shift"));
        let this = Self { library, shift };
        this.set(seconds);
        this
    }

    /// Sets it: it is so many seconds ahead of the machine's from now on.
    pub fn set(&self, seconds: i64) {
        std::fs::write(&self.shift, seconds.to_string()).expect("write the shift of a clock");
    }

    /// The environment of a process that has this clock.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("ROWFERRY_CLOCK_SHIFT", self.shift.display().to_string()),
        ]
    }
}
