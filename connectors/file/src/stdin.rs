//! Standard input, read by one thread of the process, so that no task ever blocks on it.

#![expect(
    clippy::indexing_slicing,
    reason = "a read fills no more than the buffer"
)]

use std::io::Read;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, OnceLock};

use connector_api::locks::TakeLock;

/// Maximum number of chunks read ahead.
const AHEAD: usize = 16;
/// Maximum size of one chunk, in bytes.
const CHUNK: usize = 64 * 1024;

static CHUNKS: OnceLock<Mutex<Receiver<Vec<u8>>>> = OnceLock::new();

#[derive(Clone, Copy)]
pub(crate) struct Stdin {
    chunks: &'static Mutex<Receiver<Vec<u8>>>,
}

impl Stdin {
    /// Opens standard input. The thread that reads it lives as long as the process: its read cannot
    /// be cancelled, and a second reader would take chunks away from the first.
    pub(crate) fn open() -> Self {
        let chunks = CHUNKS.get_or_init(|| {
            let (sender, receiver) = sync_channel(AHEAD);
            std::thread::spawn(move || {
                let mut buffer = vec![0; CHUNK];
                while let Ok(read @ 1..) = std::io::stdin().read(&mut buffer) {
                    if sender.send(buffer[..read].to_vec()).is_err() {
                        break;
                    }
                }
            });
            Mutex::new(receiver)
        });
        Self { chunks }
    }

    /// Returns the next bytes if any are available; never blocks.
    pub(crate) fn read(self) -> Option<Vec<u8>> {
        self.chunks.take_lock().try_recv().ok()
    }
}
