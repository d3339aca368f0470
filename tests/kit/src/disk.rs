//! A small file system in memory, mounted in the scratch folder, for tests that fill it to the brim.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::Scratch;

/// A mounted file system. Whoever uses it must have ended before it is dropped.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many megabytes at `name` in the scratch folder, where a server of that name keeps its data.
    /// `None`, and the reason on the error output, where this process may not mount.
    pub fn mount(scratch: &Scratch, name: &str, megabytes: u32) -> Option<Self> {
        let path = scratch.folder(name, None);
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self { path }),
            Ok(done) => {
                eprintln!(
                    "left out, since no disk can be mounted here: {}",
                    String::from_utf8_lossy(&done.stderr)
                );
                None
            }
            Err(error) => {
                eprintln!("left out, since no disk can be mounted here: {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes all the space there is but so many bytes.
    pub fn fill(&self, left: u64) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("open the filler");
        while file.write_all(&[1; 4096]).is_ok() {}
        let taken = file.metadata().expect("size of the filler").len();
        file.set_len(taken.saturating_sub(left))
            .expect("shorten the filler");
    }

    /// Gives it back.
    pub fn free(&self) {
        File::create(self.filler()).expect("empty the filler");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily, should something still have a file open
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
