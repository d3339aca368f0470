//! Regular expressions as Java's `Pattern` defines them, including look-around and back-references.
//!
//! Only this module uses the regex engine. It limits the cost of an expression, rejects syntax that
//! Java does not have (the engine's least used features), and turns a panic of the engine into an
//! error.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fancy_regex::{Expr, Regex, RegexBuilder};

/// The groups of a match.
pub use fancy_regex::Captures;

/// Maximum number of backtracking steps per match.
const MAX_STEPS: usize = 100_000;
/// Prefix that makes an expression case-insensitive.
const ANY_CASE: &str = "(?i)";
/// Prefix and suffix that make an expression match the whole text.
const WHOLE: (&str, &str) = ("\\A(?:", ")\\z");

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// Why a match could not be decided: the expression needs too many steps for the text, or the
/// engine failed.
#[derive(Debug)]
pub struct MatchUndecided(String);

impl fmt::Display for MatchUndecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the regular expression cannot be evaluated: {}", self.0)
    }
}

impl Pattern {
    /// Compiles an expression that may match anywhere in a text.
    /// Errors: what is wrong with it, without a prefix.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::built(text, None)
    }

    /// Compiles an expression that must match the whole text.
    /// Errors: as in [`Pattern::new`].
    pub fn whole(text: &str) -> Result<Self, String> {
        // Parse it alone first: `a)(b` is invalid, but would be valid between the added
        // parentheses.
        guarded(|| Expr::parse_tree(text).map(drop))?;
        Self::new(&format!("{}{text}{}", WHOLE.0, WHOLE.1))
    }

    /// Checks that the compiled expression fits into `bytes`.
    /// Errors: as in [`Pattern::new`].
    pub fn fits(text: &str, bytes: usize) -> Result<(), String> {
        Self::built(text, Some(bytes)).map(drop)
    }

    fn built(text: &str, bytes: Option<usize>) -> Result<Self, String> {
        let mut builder = RegexBuilder::new(text);
        builder.backtrack_limit(MAX_STEPS);
        if let Some(bytes) = bytes {
            builder.delegate_size_limit(bytes);
        }
        guarded(|| {
            let tree = Expr::parse_tree(text)?;
            if tree.expr.has_descendant_or_self(is_unknown_to_java) {
                return Ok(None);
            }
            builder.build().map(Some)
        })?
        .map(Self)
        .ok_or_else(|| {
            "conditions, calls of groups, absent operators, \\K and verbs such as (*FAIL) are not supported, as in Java"
                .to_owned()
        })
    }

    /// Returns a case-insensitive copy.
    pub fn in_any_case(&self) -> Self {
        Self::new(&format!("{ANY_CASE}{}", self.0.as_str())).unwrap_or_else(|_| self.clone())
    }

    /// Returns the expression as the user wrote it.
    pub fn text(&self) -> &str {
        let text = self.0.as_str();
        let text = text.strip_prefix(ANY_CASE).unwrap_or(text);
        text.strip_prefix(WHOLE.0)
            .and_then(|text| text.strip_suffix(WHOLE.1))
            .unwrap_or(text)
    }

    /// True if it matches the text: all of it if created by [`Pattern::whole`], otherwise any part.
    pub fn matches(&self, text: &str) -> Result<bool, MatchUndecided> {
        guarded(|| self.0.is_match(text)).map_err(MatchUndecided)
    }

    /// Returns the groups of the first match.
    pub fn captures<'t>(&self, text: &'t str) -> Result<Option<Captures<'t, str>>, MatchUndecided> {
        guarded(|| self.0.captures(text)).map_err(MatchUndecided)
    }

    /// Returns the number of groups, without the one for the whole match.
    pub fn groups(&self) -> usize {
        self.0.captures_len() - 1
    }

    /// True if it has a group named `name`.
    pub fn has_group(&self, name: &str) -> bool {
        self.0.capture_names().flatten().any(|known| known == name)
    }
}

/// True if the expression uses syntax that the engine supports and Java's `Pattern` rejects.
fn is_unknown_to_java(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Conditional { .. }
            | Expr::BackrefExistsCondition { .. }
            | Expr::BackrefWithRelativeRecursionLevel { .. }
            | Expr::SubroutineCall(_)
            | Expr::BacktrackingControlVerb(_)
            | Expr::Absent(_)
            | Expr::DefineGroup { .. }
            | Expr::KeepOut
    )
}

/// Calls the engine.
/// Errors: the engine's own, or that it panicked; a panic must not take down the whole task.
fn guarded<T>(call: impl FnOnce() -> fancy_regex::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(
            "the regular expression engine failed; write the expression in another way".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_does_not_have_is_refused() {
        for text in [
            "(?(5)$|)t",
            "(a)?(?(1)b|c)",
            "(?<n>a)(?(<n>)b|c)",
            "(?<n>a)\\g<n>",
            "(?~abc)",
            "a\\Kb",
            "a(*FAIL)",
            "(?(DEFINE)(?<n>a))b",
            "x(y(?:z(?=(?(1)a|b))))",
        ] {
            let error = Pattern::new(text).unwrap_err();
            assert!(
                error.contains("not supported, as in Java") || error.contains("Parsing error"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_java_has_is_taken() {
        for (text, name, matches) in [
            ("shop\\..*", "shop.orders", true),
            ("(?!tmp_)\\w+", "tmp_a", false),
            ("(?<=a)b|ab", "ab", true),
            ("(a|b)\\1", "aa", true),
            ("(?<n>a)\\k<n>", "aa", true),
            ("(?>a+)b", "aab", true),
            ("a++b", "aab", true),
            ("(?i)ABC", "abc", true),
            ("a|bc", "abc", false),
        ] {
            assert_eq!(
                Pattern::whole(text).unwrap().matches(name).unwrap(),
                matches,
                "{text}"
            );
        }
    }

    #[test]
    fn an_expression_that_takes_too_long_is_distinguished_from_one_that_does_not_match() {
        let slow = Pattern::whole("(a|b|ab)*(?=c)").unwrap();
        let error = slow.matches(&"ab".repeat(40)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the regular expression cannot be evaluated: "),
            "{error}"
        );
    }

    #[test]
    fn parentheses_that_do_not_belong_together_are_refused_in_a_whole_one_too() {
        assert!(Pattern::whole("a)(b").is_err());
    }

    #[test]
    fn the_text_is_what_the_user_wrote() {
        let pattern = Pattern::whole("a|b").unwrap();
        assert_eq!(
            [pattern.text(), pattern.in_any_case().text()],
            ["a|b", "a|b"]
        );
        assert!(pattern.in_any_case().matches("B").unwrap());
    }
}
