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
    use super::parse;

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
