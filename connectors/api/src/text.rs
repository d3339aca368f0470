//! Appends formatted text to strings.

use std::fmt::{Arguments, Write};

/// Appends formatted text: `append(&mut out, format_args!("{n:02}"))`. The same as `write!`, without
/// its result, which is an error only if a `Display` implementation returns one; ours do not.
pub fn append(out: &mut String, text: Arguments<'_>) {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "a String accepts everything"
    )]
    let _ = out.write_fmt(text);
}
