//! Standard input, read by one thread of the process, so that no task ever waits for it.

use std::io::Read;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Chunks that are read ahead.
const AHEAD: usize = 16;
/// Bytes of one chunk.
const CHUNK: usize = 64 * 1024;

static CHUNKS: OnceLock<Mutex<Receiver<Vec<u8>>>> = OnceLock::new();

/// Standard input of the process.
#[derive(Clone, Copy)]
pub struct Stdin {
    chunks: &'static Mutex<Receiver<Vec<u8>>>,
}

impl Stdin {
    /// Opens it. The thread that reads it lives as long as the process: nobody can end its read,
    /// and a second one would take chunks away from the first.
    pub fn open() -> Self {
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

    /// The next bytes, if there are any yet.
    pub fn read(self) -> Option<Vec<u8>> {
        self.chunks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_recv()
            .ok()
    }
}
