//! Names in paths.

/// Escapes a name as a path segment, by RFC 3986 (`pchar` is not escaped).
pub fn path_segment(name: &str) -> String {
    use connector_api::text::append;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-._~!$&'()*+,;=:@".contains(&byte) => out.push(char::from(byte)),
            _ => {
                append(&mut out, format_args!("%{byte:02X}"));
            }
        }
    }
    out
}
