//! Makes texts safe to show: removes passwords from URLs and parameters, and escapes characters by
//! which outside text could pass for lines or commands of ours. Pure.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Replaces a password within a text.
pub const MASK: &str = "****";

/// Database schemes whose URLs contain user and password even where the two slashes are missing.
const DATABASES: [&str; 9] = [
    "jdbc",
    "mysql",
    "mariadb",
    "postgres",
    "postgresql",
    "oracle",
    "sqlserver",
    "db2",
    "sqlite",
];

/// Masks passwords in `//user:password@host`, in `password=…` parameters, in JSON and in headers,
/// and the values of URL parameters that are not known to be harmless.
///
/// A value that is a URL extends to its end, whatever its password contains; within other text, a
/// URL ends at white space.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let found = hidden_in(text);
    if found.is_empty() {
        return text.into();
    }
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for Range { start, end } in found {
        out.push_str(&text[from..start]);
        out.push_str(MASK);
        from = end;
    }
    out.push_str(&text[from..]);
    out.into()
}

/// Returns the ranges of everything that [`without_passwords`] masks, in order.
pub fn hidden_in(text: &str) -> Vec<Range<usize>> {
    found_in(text, true)
}

/// Returns the ranges of the passwords in a text, in order.
pub fn passwords_in(text: &str) -> Vec<Range<usize>> {
    found_in(text, false)
}

fn found_in(text: &str, with_unknown: bool) -> Vec<Range<usize>> {
    let (mut found, mut urls) = (Vec::new(), urls(text));
    if urls.is_empty() {
        found.extend(login(text));
        members(text, &mut found);
    }
    if found.is_empty() && !text.contains(['@', '=']) {
        return found;
    }
    if urls.is_empty() {
        static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\S*//\S*").ok());
        urls = WORD
            .as_ref()
            .map(|word| word.find_iter(text).map(|found| found.range()).collect())
            .unwrap_or_default();
        parameters(text, 0..text.len(), quoted, &mut found);
    }
    for url in urls {
        found.extend(user_info(&text[url.clone()], url.start));
        if with_unknown {
            unknown_parameters(text, url.clone(), &mut found);
        }
        parameters(
            text,
            url,
            |text, start| {
                (
                    start,
                    text[start..].find('&').map_or(text.len(), |at| start + at),
                )
            },
            &mut found,
        );
    }
    found.sort_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// Returns the ranges of the URLs of a value that begins like a URL: it is one to its end, or
/// several separated by commas. Empty for other texts.
fn urls(text: &str) -> Vec<Range<usize>> {
    static BEGIN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)(?:^|,)\s*(?:[a-z][a-z0-9+.-]*:)+//").ok());
    let begins: Vec<usize> = BEGIN
        .as_ref()
        .map(|begin| begin.find_iter(text).map(|found| found.start()).collect())
        .unwrap_or_default();
    if begins.first() != Some(&0) && database(text).is_none() {
        return Vec::new();
    }
    let further = || begins.iter().copied().filter(|at| *at > 0);
    std::iter::once(0)
        .chain(further())
        .zip(further().chain([text.len()]))
        .map(|(start, end)| start..end)
        .collect()
}

/// Returns the database scheme that a text begins with.
fn database(text: &str) -> Option<&'static str> {
    let scheme = text.trim_start().split(':').next().unwrap_or_default();
    DATABASES
        .into_iter()
        .find(|known| scheme.len() < text.trim_start().len() && known.eq_ignore_ascii_case(scheme))
}

/// Finds the password between `//user:` and the last `@`. A password may contain characters that a
/// URL should escape; only an `@` in a parameter's value does not end it.
fn user_info(url: &str, offset: usize) -> Option<Range<usize>> {
    let begin = match url.find("//") {
        Some(at) if !url[..at].contains('@') => at + 2,
        // The slashes are missing, or follow the account as in Oracle's URLs.
        _ => {
            database(url)?;
            let lead = url.len() - url.trim_start().len();
            return without_slashes(&url[lead..], offset + lead);
        }
    };
    let rest = &url[begin..];
    let at = rest.rfind('@')?;
    let before = &rest[..at];
    let colon = [before.find(':'), before.find("%3A"), before.find("%3a")]
        .into_iter()
        .flatten()
        .min()?;
    let width = if before[colon..].starts_with(':') {
        1
    } else {
        3
    };
    if is_in_a_parameter(rest, at) {
        return None;
    }
    Some(offset + begin + colon + width..offset + begin + at)
}

/// Finds the account in `scheme:user/password@…`: everything after the schemes.
fn without_slashes(url: &str, offset: usize) -> Option<Range<usize>> {
    let at = url.rfind('@')?;
    let mut begin = 0;
    while let Some(colon) = url[begin..at].find(':') {
        let word = &url[begin..begin + colon];
        if !DATABASES
            .iter()
            .chain(&["thin", "oci"])
            .any(|scheme| word.eq_ignore_ascii_case(scheme))
        {
            break;
        }
        begin += colon + 1;
    }
    (begin < at).then(|| offset + begin..offset + at)
}

/// True if the text before the `@` is `host:port/path?user=name`, as account names of some services
/// contain an `@`.
fn is_in_a_parameter(rest: &str, at: usize) -> bool {
    static PLACE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let host = r"(?:\[[0-9a-fA-F:.%]+\]|[^:/?#@\[\],]*)(?::[0-9]{1,5})?";
        Regex::new(&format!(
            r"^{host}(?:,{host})*(?:/[^?@]*)?\?(?:[\w.-]+=[^&@]*&)*user(?:name)?=[^&@]*$"
        ))
        .ok()
    });
    let value = rest[at + 1..].split('&').next().unwrap_or_default();
    !value.contains('/')
        && PLACE
            .as_ref()
            .is_some_and(|place| place.is_match(&rest[..at]))
}

/// Finds the values of parameters with secret names; `value` finds the end of the value that begins
/// at an index.
fn parameters(
    text: &str,
    part: Range<usize>,
    value: impl Fn(&str, usize) -> (usize, usize),
    found: &mut Vec<Range<usize>>,
) {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(&format!(
            r"(?i)(?:[\w.-]*(?:{TELLING})[\w.-]*|\b(?:{SHORT}))\s*=\s*"
        ))
        .ok()
    });
    let Some(name) = NAME.as_ref() else { return };
    let (text, mut from) = (&text[..part.end], part.start);
    while let Some(hit) = name.find(&text[from..]) {
        let (begin, end) = value(text, from + hit.end());
        if end > begin {
            found.push(begin..end);
        }
        from = end;
    }
}

/// Name parts that mark a value as secret, and short names that do so as a whole.
const TELLING: &str = "password|passwd|passphrase|pwd|secret|token|api[_.-]?key|access[_.-]?key|private[_.-]?key|credential";
const SHORT: &str = "pw|pass|sig|signature|apikey|auth|authorization|sas";

/// URL parameters whose values may be shown: settings of drivers and clients, but no accounts or
/// credentials. Compared ignoring letter case, `-`, `_` and dots.
const HARMLESS: &[&str] = &[
    "allowmultiqueries",
    "allowpublickeyretrieval",
    "allowloadlocalinfile",
    "allowurlinlocalinfile",
    "applicationname",
    "autodeserialize",
    "autoreconnect",
    "binarytransfer",
    "busytimeout",
    "cacheprepstmts",
    "characterencoding",
    "connecttimeout",
    "connectiontimezone",
    "createdatabaseifnotexist",
    "currentschema",
    "databasename",
    "defaultfetchsize",
    "defaultrowfetchsize",
    "disablesslhostnameverification",
    "encrypt",
    "foreignkeys",
    "jdbccomplianttruncation",
    "journalmode",
    "logintimeout",
    "loggerlevel",
    "maxpoolsize",
    "minpoolsize",
    "mode",
    "nullcatalogmeanscurrent",
    "preparethreshold",
    "prepstmtcachesize",
    "prepstmtcachesqllimit",
    "readonly",
    "requiressl",
    "rewritebatchedinserts",
    "rewritebatchedstatements",
    "schema",
    "scope",
    "searchpath",
    "serversslcert",
    "servertimezone",
    "sessiontimezone",
    "sockettimeout",
    "ssl",
    "sslca",
    "sslcert",
    "sslfactory",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "stringtype",
    "synchronous",
    "targetservertype",
    "targetsessionattrs",
    "tcpkeepalive",
    "timezone",
    "tinyint1isbit",
    "tls",
    "tlsversions",
    "enabledtlsprotocols",
    "transformedbitisboolean",
    "trustservercertificate",
    "usecursorfetch",
    "useserverprepstmts",
    "usessl",
    "usetls",
    "useunicode",
    "user",
    "username",
    "verifyservercertificate",
    "yearisdatetype",
    "zerodatetimebehavior",
    "x",
];

/// Finds the values of a URL's parameters that are not known to be harmless. Plain switches are
/// shown, too.
fn unknown_parameters(text: &str, url: Range<usize>, found: &mut Vec<Range<usize>>) {
    let whole = &text[url.clone()];
    let Some(begin) = whole.find(['?', ';', '#']) else {
        return;
    };
    let mut at = url.start + begin;
    for pair in text[at..url.end].split(['?', '&', ';', '#']) {
        if let Some((name, value)) = pair.split_once('=') {
            let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            let is_switch = ["", "true", "false", "TRUE", "FALSE"].contains(&value);
            if !is_switch
                && !HARMLESS
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&plain))
            {
                found.push(at + name.len() + 1..at + pair.len());
            }
        }
        at += pair.len() + 1;
    }
}

/// Finds the credentials after `Basic`, `Bearer` and similar words in a header value.
fn login(text: &str) -> Option<Range<usize>> {
    static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?i)^\s*(?:[\w-]*authorization\s*[:=]\s*)?(?:basic|bearer|digest|negotiate|token|apikey)\s+(\S[^\n]*)$",
        )
        .ok()
    });
    let range = HEADER.as_ref()?.captures(text)?.get(1)?.range();
    // Ordinary sentences may begin with such words, too.
    (!text[range.clone()].trim_end().contains(' ')).then_some(range)
}

/// Finds the values of JSON members with secret names.
fn members(text: &str, found: &mut Vec<Range<usize>>) {
    static MEMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let value = r#"(?:"((?:[^"\\]|\\.)*)"|([^\s",}\]\[{]+))"#;
        Regex::new(&format!(
            r#"(?i)\\?"(?:[^"\\]*(?:{TELLING})[^"\\]*|{SHORT})\\?"\s*:\s*{value}"#
        ))
        .ok()
    });
    if !text.contains('"') || !text.contains(':') {
        return;
    }
    for hit in MEMBER.iter().flat_map(|member| member.captures_iter(text)) {
        found.extend(
            hit.get(1)
                .or_else(|| hit.get(2))
                .map(|value| value.range())
                .filter(|range| !range.is_empty()),
        );
    }
}

/// A quoted value ends at the matching unescaped quote, any other one at white space or `&`.
fn quoted(text: &str, start: usize) -> (usize, usize) {
    let rest = &text[start..];
    let Some(quote) = rest.chars().next().filter(|c| ['"', '\''].contains(c)) else {
        let stop = rest.find(|c: char| c.is_whitespace() || "&,;)".contains(c));
        return (start, stop.map_or(text.len(), |at| start + at));
    };
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            c if c == quote && !escaped => return (start + 1, start + at),
            c => escaped = c == '\\' && !escaped,
        }
    }
    (start + 1, text.len())
}

/// True for characters that can change how surrounding text is read: control characters (including
/// line ends and terminal escapes), Unicode's other line ends, and characters that are invisible or
/// change the text direction.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes [deceptive characters](is_deceptive) as `\n` or `\u{1b}`, so that outside text stays on
/// one line.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_deceptive)
}

/// Like [`on_one_line`], but keeps line ends, for texts of several lines.
pub fn in_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_deceptive(c) && c != '\n')
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' if is_bad(c) => out.extend(c.escape_default()),
            c if is_bad(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::{in_lines, on_one_line, without_passwords};

    #[test]
    fn passwords_in_urls_are_replaced_and_nothing_else() {
        for (value, shown) in [
            (
                "jdbc:mysql://u:p@ss:w@h:1/d?x=1",
                "jdbc:mysql://u:****@h:1/d?x=1",
            ),
            (
                "jdbc:mysql://h/d?user=u&password=p%20w&x=1",
                "jdbc:mysql://h/d?user=u&password=****&x=1",
            ),
            (
                "jdbc:mysql://h/d?password=a;b,c d)e&x=1",
                "jdbc:mysql://h/d?password=****&x=1",
            ),
            (
                "jdbc:postgresql://h/d?sslpassword=x&PASSWORD=y",
                "jdbc:postgresql://h/d?sslpassword=****&PASSWORD=****",
            ),
            (
                "http://me:secret@a:1,http://b:2",
                "http://me:****@a:1,http://b:2",
            ),
            (
                "http://me:s@a:1, https://you:t@b:2",
                "http://me:****@a:1, https://you:****@b:2",
            ),
            (
                "https://h/token?client_secret=x&scope=y",
                "https://h/token?client_secret=****&scope=y",
            ),
            (
                "jdbc:postgresql://h:5432/d?user=me@corp&ssl=true",
                "jdbc:postgresql://h:5432/d?user=me@corp&ssl=true",
            ),
            (
                "jdbc:mysql://a:1,b:2/d?user=x@y",
                "jdbc:mysql://a:1,b:2/d?user=x@y",
            ),
            ("http://me%3Asecret@a:1", "http://me%3A****@a:1"),
            (
                "jdbc:oracle:thin:scott/tiger@//h:1521/s",
                "jdbc:oracle:thin:****@//h:1521/s",
            ),
            ("jdbc:mysql:u:pw@h/d", "jdbc:mysql:****@h/d"),
            (
                "SELECT * FROM t WHERE a = 'x@y'",
                "SELECT * FROM t WHERE a = 'x@y'",
            ),
            (
                "at jdbc:mysql://u:p@h/d the server",
                "at jdbc:mysql://u:****@h/d the server",
            ),
            ("user=a;password='b c';x", "user=a;password='****';x"),
            (
                "Plain required password=\"a \\\" b\";",
                "Plain required password=\"****\";",
            ),
            ("postgres://u@h/d", "postgres://u@h/d"),
            (
                "https://h/p?api_key=a&x=1&pw=b&sig=c&token=d&sslMode=required",
                "https://h/p?api_key=****&x=1&pw=****&sig=****&token=****&sslMode=required",
            ),
            (
                "https://h/p?unheardOf=abc&flag=true#access_token=t",
                "https://h/p?unheardOf=****&flag=true#access_token=****",
            ),
            (
                "jdbc:sqlserver://h;user=u;databaseName=d;foo=bar;password=p",
                "jdbc:sqlserver://h;user=u;databaseName=d;foo=****;password=****",
            ),
            (
                "jdbc:mysql://h/d?sessionVariables=a=1,b=2&useSSL=true",
                "jdbc:mysql://h/d?sessionVariables=****&useSSL=true",
            ),
            ("Basic dXNlcjpwdw==", "Basic ****"),
            (
                "Authorization: Bearer abc.def",
                "Authorization: Bearer ****",
            ),
            ("Basic settings of a table", "Basic settings of a table"),
            (
                r#"{"user":"u","password":"p\"q","port":1,"apiKey":7}"#,
                r#"{"user":"u","password":"****","port":1,"apiKey":****}"#,
            ),
            (
                r#"[{"a":{"client_secret": "x"}}]"#,
                r#"[{"a":{"client_secret": "****"}}]"#,
            ),
            ("plain", "plain"),
        ] {
            assert_eq!(without_passwords(value), shown);
        }
    }

    #[test]
    fn a_password_in_a_url_may_contain_anything() {
        const SIGNS: &[&str] = &[
            "/", "@", "#", "?", ":", "%", " ", "&", ",", ";", "=", "'", "\"", "\\", "//", "?a=b",
            "1/",
        ];
        for first in SIGNS {
            for second in SIGNS {
                let password = format!("{first}CANARY{second}x");
                for url in [
                    format!("jdbc:mysql://u:{password}@127.0.0.1:1/d"),
                    format!("mariadb://u:{password}@h"),
                    format!("https://u:{password}@h:1/p?a=b"),
                ] {
                    let shown = without_passwords(&url);
                    assert!(!shown.contains("CANARY"), "{url} is shown as {shown}");
                }
            }
        }
    }

    #[test]
    fn deceptive_characters_become_escapes() {
        let text = "a\nb\r\t\u{1b}[31m\u{202e}c\u{2028}é\u{9b}";
        assert_eq!(
            on_one_line(text),
            "a\\nb\\r\\t\\u{1b}[31m\\u{202e}c\\u{2028}é\\u{9b}"
        );
        assert_eq!(in_lines("a\nb\u{0}"), "a\nb\\u{0}");
        assert_eq!(on_one_line("plain 日本"), "plain 日本");
    }
}
