//! References in values, `${provider:key}` and `${provider:path:key}`, parsed as by Kafka's
//! `ConfigTransformer`. Pure.

use std::ops::Range;

/// One reference in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderReference<'a> {
    /// Byte range of the reference in the text.
    pub range: Range<usize>,
    /// Name of the config provider.
    pub provider: &'a str,
    /// Text between the two colons; empty if there is only one.
    pub path: &'a str,
    /// Key to look up.
    pub key: &'a str,
}

/// Returns all references in a text, in order. They are not nested.
pub fn of(text: &str) -> Vec<ProviderReference<'_>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(at) = text[from..].find("${").map(|at| from + at) {
        let Some(end) = text[at..].find('}').map(|end| at + end) else {
            break;
        };
        from = end + 1;
        let Some((provider, rest)) = text[at + 2..end].split_once(':') else {
            continue;
        };
        let (path, key) = rest.split_once(':').unwrap_or(("", rest));
        found.push(ProviderReference {
            range: at..from,
            provider,
            path,
            key,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn references_are_found_anywhere_in_a_value() {
        let shown = |text| {
            of(text)
                .iter()
                .map(|r| format!("{}|{}|{}", r.provider, r.path, r.key))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            shown("${env:HOST}:3306/${file:/etc/a b.properties:db}"),
            ["env||HOST", "file|/etc/a b.properties|db"]
        );
        assert_eq!(
            shown("${directory:/run/secrets:pass:word}"),
            ["directory|/run/secrets|pass:word"]
        );
        for text in ["${topic}", "$env:A", "${env:A", "{env:A}", "", "$", "${"] {
            assert!(of(text).is_empty(), "{text}");
        }
        assert_eq!(of("é${env:A}ü")[0].range, 2..10);
    }
}
