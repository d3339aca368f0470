//! Query parameters as in JAX-RS: the first of repeated ones counts, an empty value means the
//! default, and a boolean is only true for `true` in any letter case.

use axum::extract::Query;

/// All parameters, in order.
pub(super) type QueryParams = Query<Vec<(String, String)>>;

/// Returns the value of a parameter.
pub(super) fn first<'a>(params: &'a QueryParams, name: &str) -> Option<&'a str> {
    given(params, name).filter(|v| !v.is_empty())
}

/// Returns the value of a parameter without a default: an empty one counts.
pub(super) fn given<'a>(params: &'a QueryParams, name: &str) -> Option<&'a str> {
    params
        .0
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, v)| v.as_str())
}

/// Returns the value of a boolean parameter.
pub(super) fn flag(params: &QueryParams, name: &str, default: bool) -> bool {
    first(params, name).map_or(default, |value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::flag;

    #[test]
    fn booleans_are_read_as_jax_rs_does() {
        let params = |text: &str| {
            Query::try_from_uri(&format!("http://h/?{text}").parse().unwrap()).unwrap()
        };
        for (text, want) in [
            ("a=true", true),
            ("a=True", true),
            ("a=TRUE&a=false", true),
            ("a=false&a=true", false),
            ("a=1", false),
            ("a=", true),
            ("a", true),
            ("A=false", true),
        ] {
            assert_eq!(flag(&params(text), "a", true), want, "{text}");
        }
    }
}
