//! Texts that MariaDB makes of values: addresses, UUIDs, and the members of ENUM and SET.

/// Returns the members of an ENUM or SET from the text of its type (`enum('a','b')`).
pub(crate) fn members(column_type: &str) -> Vec<Box<str>> {
    let mut out = Vec::new();
    let mut chars = column_type.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\'' {
            continue;
        }
        let mut member = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    member.push('\'');
                }
                '\'' => break,
                '\\' => match chars.next() {
                    Some('0') => member.push('\0'),
                    Some('n') => member.push('\n'),
                    Some('r') => member.push('\r'),
                    Some(other) => member.push(other),
                    None => break,
                },
                other => member.push(other),
            }
        }
        out.push(member.into());
    }
    out
}

/// Returns a UUID's text.
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        connector_api::text::append(&mut out, format_args!("{byte:02x}"));
    }
    out
}

/// Returns an IPv6 address as the server writes it: the longest run of zeros is left out, also one
/// of a single group, and addresses that hold one of IPv4 end in it.
pub(crate) fn inet6(bytes: &[u8; 16]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let words: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let mut gap = (0, 0);
    let mut at = 0;
    while at < words.len() {
        let zeros = words.iter().skip(at).take_while(|word| **word == 0).count();
        if zeros > gap.1 {
            gap = (at, zeros);
        }
        at += zeros.max(1);
    }
    let holds_ipv4 = gap.0 == 0 && (gap.1 == 6 || gap.1 == 5 && words.get(5) == Some(&0xffff));
    let mut out = String::with_capacity(39);
    let mut at = 0;
    while at < words.len() {
        if gap.1 > 0 && at == gap.0 {
            out.push_str(if at == 0 { "::" } else { ":" });
            at += gap.1;
            continue;
        }
        if holds_ipv4 && at == 6 {
            let [.., a, b, c, d] = bytes;
            connector_api::text::append(&mut out, format_args!("{a}.{b}.{c}.{d}"));
            break;
        }
        if let Some(word) = words.get(at) {
            connector_api::text::append(&mut out, format_args!("{word:x}"));
        }
        at += 1;
        if at < words.len() {
            out.push(':');
        }
    }
    out
}
