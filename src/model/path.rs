//! Names in paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are escaped everywhere in a URL: all but the unreserved ones of RFC 3986.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Characters that are escaped in user names.
pub(crate) const NOT_IN_USER: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');
/// Characters that are escaped in a segment of a path (all but `pchar` of RFC 3986).
const NOT_IN_SEGMENT: &AsciiSet = &NOT_IN_USER.remove(b':').remove(b'@');
/// Characters that are escaped in a path.
pub(crate) const NOT_IN_PATH: &AsciiSet = &NOT_IN_SEGMENT.remove(b'/');

/// Escapes the value of a query parameter.
pub fn query_value(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Escapes a name as a path segment.
pub fn path_segment(name: &str) -> String {
    utf8_percent_encode(name, NOT_IN_SEGMENT).to_string()
}
