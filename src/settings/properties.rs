//! Java's properties syntax (`java.util.Properties.load`). Pure.

/// Parses a whole file. As in Java, the last of repeated keys counts.
/// Errors: the line number, from 1, and the reason.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while goes_on(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        pairs.push(pair(&logical).map_err(|why| (number + 1, why))?);
    }
    Ok(pairs)
}

/// Returns the file with these values: the first line of each key is replaced, others of it are
/// removed, and keys that are missing are added at the end. Everything else stays as it is.
/// Errors: as [`parse`].
pub fn set(text: &str, pairs: &[(&str, &str)]) -> Result<String, (usize, &'static str)> {
    let mut out = String::with_capacity(text.len());
    let mut missing: Vec<&(&str, &str)> = pairs.iter().collect();
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((number, line)) = lines.next() {
        let mut whole = line.to_owned();
        let content = |line: &str| line.trim_end_matches(['\n', '\r']).trim_start().to_owned();
        let mut logical = content(line);
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            out.push_str(line);
            continue;
        }
        while goes_on(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next);
            logical.push_str(&content(next));
        }
        let (key, _) = pair(&logical).map_err(|why| (number + 1, why))?;
        let Some((_, value)) = pairs.iter().find(|(wanted, _)| *wanted == key) else {
            out.push_str(&whole);
            continue;
        };
        if missing.iter().any(|(wanted, _)| *wanted == key) {
            missing.retain(|(wanted, _)| *wanted != key);
            push_line(&mut out, &key, value);
        }
    }
    if !missing.is_empty() && !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    for (key, value) in missing {
        push_line(&mut out, key, value);
    }
    Ok(out)
}

/// Adds a line. Keys are names of settings, which need no escapes.
fn push_line(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    out.push('=');
    out.push_str(&value.replace('\\', "\\\\"));
    out.push('\n');
}

/// True if the line continues on the next one: it ends with an odd number of backslashes.
fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn pair(line: &str) -> Result<(String, String), &'static str> {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|(_, c)| {
            let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
            escaped = !escaped && *c == '\\';
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    Ok((unescape(key)?, unescape(value)?.trim_end().to_owned()))
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let hex: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&hex, 16)
                    .ok()
                    .filter(|_| hex.len() == 4);
                out.push(
                    code.and_then(char::from_u32)
                        .ok_or("malformed \\uxxxx escape")?,
                );
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{parse, set};

    #[test]
    fn values_are_set_and_everything_else_stays() {
        let text = "# a = 0\r\nb=1\na = old \\\n   value\n\nc=2\na=older";
        let changed = set(text, &[("a", "mysql://u:p\\w@h/d?x=y"), ("new", "1")]).unwrap();
        assert_eq!(
            changed,
            "# a = 0\r\nb=1\na=mysql://u:p\\\\w@h/d?x=y\n\nc=2\nnew=1\n"
        );
        let pairs = parse(&changed).unwrap();
        assert_eq!(pairs[1].1, "mysql://u:p\\w@h/d?x=y");
        assert_eq!(set("", &[("a", "1")]).unwrap(), "a=1\n");
        assert_eq!(set("b=1", &[("a", "1")]).unwrap(), "b=1\na=1\n");
        assert_eq!(set(text, &[]).unwrap(), text);
    }

    #[test]
    fn java_rules_hold() {
        let text = "# comment\n! too\n\na=1\n b : two words  \nc three\npath=C:\\\\dir\\\n   \\u0041\nwith\\ space\\:x=y\nempty\nlast=\\\n";
        let pairs = parse(text).unwrap();
        let shown: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}|{v}")).collect();
        assert_eq!(
            shown,
            [
                "a|1",
                "b|two words",
                "c|three",
                "path|C:\\dirA",
                "with space:x|y",
                "empty|",
                "last|"
            ]
        );
        assert_eq!(
            parse("ok=1\nbad=\\u00g0").unwrap_err(),
            (2, "malformed \\uxxxx escape")
        );
    }
}
