//! The rules for topic names: those of Kafka's `org.apache.kafka.common.internals.Topic`. Pure.

/// Maximum length of a name in characters.
const LONGEST: usize = 249;

/// Returns the rule that a name breaks, or `None` if Kafka accepts it.
pub(crate) fn broken_rule(name: &str) -> Option<&'static str> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    match name {
        "" => Some("a name is not empty"),
        "." | ".." => Some("a name is neither '.' nor '..'"),
        _ if !name.bytes().all(is_legal) => {
            Some("a name consists of ASCII letters, digits, '.', '_' and '-' alone")
        }
        _ if name.len() > LONGEST => Some("a name has at most 249 characters"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::broken_rule;

    #[test]
    fn names_are_those_that_kafka_takes() {
        let longest = "x".repeat(249);
        for legal in ["a", "A-z_0.9", "...", longest.as_str()] {
            assert_eq!(broken_rule(legal), None, "{legal}");
        }
        let too_long = "x".repeat(250);
        for (illegal, part) in [
            ("", "not empty"),
            (".", "neither"),
            ("..", "neither"),
            ("order items", "ASCII letters"),
            ("größe", "ASCII letters"),
            ("a/b", "ASCII letters"),
            (too_long.as_str(), "249"),
        ] {
            assert!(
                broken_rule(illegal).is_some_and(|rule| rule.contains(part)),
                "{illegal}"
            );
        }
    }
}
