//! Paths to fields, possibly nested (KIP-821): `a.b`, with backticks around a name that contains
//! dots.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same text"
)]

/// Splits a path into names, from the outside in.
/// Errors: Connect's text about an unclosed backtick.
pub(super) fn parse_nested(path: &str) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    let mut at = 0;
    while at < path.len() {
        if path.as_bytes()[at] == b'`' {
            let (step, next) = backticked(path, at)?;
            steps.push(step);
            at = next;
        } else {
            let end = path[at..].find('.').map_or(path.len(), |dot| at + dot);
            steps.push(path[at..end].to_owned());
            at = end + 1;
        }
    }
    if path.ends_with('.') {
        steps.push(String::new());
    }
    Ok(steps)
}

/// Parses a name in backticks. A backtick closes it only before a dot or the end, and not after a
/// backslash.
fn backticked(path: &str, open: usize) -> Result<(String, usize), String> {
    let unclosed = || {
        format!(
            "Incomplete backtick pair in path: [{path}], consider adding a backslash before backtick at position {open} \
             to escape it"
        )
    };
    let mut step = String::new();
    let mut start = open + 1;
    let mut from = start;
    loop {
        let at = path[from..]
            .find('`')
            .map(|found| from + found)
            .ok_or_else(unclosed)?;
        let escaped = path.as_bytes()[at - 1] == b'\\';
        let last = at + 1 == path.len();
        if last && escaped {
            return Err(unclosed());
        }
        if !last && path.as_bytes()[at + 1] != b'.' {
            from = at + 1;
        } else if escaped {
            step.push_str(&path[start..at - 1]);
            step.push('`');
            start = at + 1;
            from = start;
        } else {
            step.push_str(&path[start..at]);
            return Ok((step, at + 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_nested;

    #[test]
    fn names_may_hold_dots_and_backticks() {
        for (path, want) in [
            ("a", vec!["a"]),
            ("a.b.c", vec!["a", "b", "c"]),
            ("`a.b`.c", vec!["a.b", "c"]),
            ("a.`b.c`", vec!["a", "b.c"]),
            ("`a`b.c`.d", vec!["a`b.c", "d"]),
            ("`a\\`.b`.c", vec!["a`.b", "c"]),
            ("a.", vec!["a", ""]),
            (".a", vec!["", "a"]),
            ("", vec![]),
        ] {
            assert_eq!(parse_nested(path).unwrap(), want, "{path}");
        }
        for path in ["`a", "`a.b\\`", "a.`", "`"] {
            assert!(parse_nested(path).is_err(), "{path}");
        }
    }
}
