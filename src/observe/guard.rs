//! Filters every log line on its way to standard error: removes known secrets, and escapes outside
//! text so that it cannot add lines, send terminal commands or change how a line is read.

use std::fmt::Debug;
use std::io::{self, Write};

use connector_api::shown::{is_deceptive, on_one_line};
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, FormatFields};

use crate::secrets::known;

/// Formats an event as `message name=value …`, each on one line.
pub(super) fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let one = |writer: &mut format::Writer<'_>, field: &Field, value: &dyn Debug| {
        let text = format!("{value:?}");
        match field.name() {
            // `log.*` fields hold the source location of libraries that use the `log` crate.
            name if name.starts_with("log.") => Ok(()),
            "message" => write!(writer, "{}", on_one_line(&text)),
            name => write!(
                writer,
                "{}={}",
                name.trim_start_matches("r#"),
                on_one_line(&text)
            ),
        }
    };
    format::debug_fn(one).delimited(" ")
}

/// Removes known secrets from each line. The formatter writes a whole line per call.
pub(super) struct RedactingWriter<W> {
    pub(super) into: W,
    /// True if lines are JSON.
    pub(super) json: bool,
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.json {
            let in_json = |shown: &str| {
                serde_json::to_string(shown)
                    .unwrap_or_default()
                    .trim_matches('"')
                    .to_owned()
            };
            let hidden = known::hide(&text, in_json);
            self.into.write_all(ascii_escaped(&hidden).as_bytes())?;
        } else {
            self.into.write_all(
                known::hide(&text, |shown| on_one_line(shown).into_owned()).as_bytes(),
            )?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Escapes deceptive characters in a line of JSON with JSON escapes. JSON has already escaped
/// control characters below U+0020.
pub(crate) fn ascii_escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if is_deceptive(c) && c != '\n' {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::{RedactingWriter, ascii_escaped, fields};
    use crate::secrets::{Redactor, SecretWords, known};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is logged as text and as JSON while `log` runs.
    fn logged(log: impl Fn()) -> [String; 2] {
        let [text, json] = [Kept::default(), Kept::default()];
        let into = |kept: &Kept, json| {
            let kept = kept.clone();
            move || RedactingWriter {
                into: kept.clone(),
                json,
            }
        };
        let as_text = tracing_subscriber::fmt::layer()
            .fmt_fields(fields())
            .with_ansi(false);
        let as_text = tracing_subscriber::registry().with(as_text.with_writer(into(&text, false)));
        tracing::subscriber::with_default(as_text, &log);
        let as_json = tracing_subscriber::fmt::layer().json().flatten_event(true);
        let as_json = tracing_subscriber::registry().with(as_json.with_writer(into(&json, true)));
        tracing::subscriber::with_default(as_json, &log);
        [text, json].map(|kept| String::from_utf8(kept.0.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn words_from_outside_make_no_lines_and_no_terminal_commands() {
        let name = "evil\n2030-01-01 ERROR forged\r\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{e0041}";
        for text in logged(|| tracing::warn!(name, error = %name, debug = ?name, "said: {name}")) {
            assert_eq!(text.lines().count(), 1, "{text}");
            let text = text.strip_suffix('\n').unwrap();
            assert!(
                !text.contains(super::is_deceptive) && text.contains("forged"),
                "{text:?}"
            );
        }
        let json = ascii_escaped("{\"a\":\"\u{202e}\u{e0041}\"}\n");
        assert_eq!(json, "{\"a\":\"\\u202e\\udb40\\udc41\"}\n");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap()["a"],
            "\u{202e}\u{e0041}"
        );
    }

    #[test]
    fn known_secrets_are_in_no_line() {
        let mut words = SecretWords::default();
        words.add("CANARY-in-the-log", "${file:/a\"b:c}");
        known::remember(&Redactor::new(words));
        let [text, json] =
            logged(|| tracing::info!(key = "CANARY-in-the-log", "of CANARY-in-the-log"));
        assert!(
            !text.contains("CANARY") && text.contains("of ${file:/a\"b:c}"),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["message"], "of ${file:/a\"b:c}");
    }
}
