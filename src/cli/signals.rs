//! The signals that end a worker. A separate thread with its own runtime receives them, so that shutdown starts and ends in time
//! even if all other threads are busy.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use connector_api::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Maximum duration of the shutdown after the first signal; common default of orchestrators.
const END_LIMIT: Duration = Duration::from_secs(30);
/// Maximum time to write the last line of the log.
const LAST_LINE: Duration = Duration::from_millis(200);

/// SIGTERM or SIGINT cancels the token. A second signal, or the end of the time limit, ends the
/// process at once.
/// Errors: `Fatal` if signals cannot be received.
pub(super) fn on_end() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let (token, (heard, hears)) = (shutdown.clone(), mpsc::channel());
    let failed =
        |error: std::io::Error| Error::fatal("signals cannot be received").caused_by(error);
    let hearing = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return drop(heard.send(Err(error))),
            };
            runtime.block_on(async {
                match listen() {
                    Ok(signals) => {
                        // The receiver waits for this answer.
                        drop(heard.send(Ok(())));
                        hear(signals, &token).await;
                    }
                    Err(error) => drop(heard.send(Err(error))),
                }
            });
        });
    hearing.map_err(failed)?;
    match hears.recv() {
        Ok(outcome) => outcome.map_err(failed)?,
        Err(_) => {
            return Err(Error::fatal(
                "signals cannot be received: their thread has ended",
            ));
        }
    }
    Ok(shutdown)
}

fn listen() -> std::io::Result<[Signal; 2]> {
    Ok([
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ])
}

async fn hear([mut terminate, mut interrupt]: [Signal; 2], token: &CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    token.cancel();
    info!(
        "stopping: no new work is started, tasks flush, commit and close; a second signal stops at \
         once"
    );
    let code: u8 = tokio::select! {
        _ = terminate.recv() => 128 + 15,
        _ = interrupt.recv() => 128 + 2,
        () = tokio::time::sleep(END_LIMIT) => 1,
    };
    // A log that is not read any more must not delay the exit.
    let (written, is_written) = mpsc::channel();
    let last_line = thread::Builder::new().spawn(move || {
        if code == 1 {
            warn!(
                "shutdown did not complete within {} s: the rest is cut off",
                END_LIMIT.as_secs()
            );
        } else {
            warn!("stopping at once");
        }
        let _nobody_waits = written.send(());
    });
    if last_line.is_ok() {
        let _late = is_written.recv_timeout(LAST_LINE);
    }
    end_process(code);
}

/// Ends the process with an exit code, without the handlers that C libraries registered for it.
/// OpenSSL's frees what threads of librdkafka still use while they close clients in the background:
/// about one stop in two hundred ended with SIGABRT instead of its exit code. Nothing is lost: output
/// is flushed when it is written, and stores and tasks have been closed by their owners.
pub(super) fn end_process(code: u8) -> ! {
    signal_hook::low_level::exit(code.into())
}
