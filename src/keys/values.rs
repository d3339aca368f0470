//! Checks of values that are neither a range nor a list of values. Texts are Kafka's if it has the
//! check.

/// Kafka's `NonEmptyStringWithoutControlChars`.
pub(super) fn connector_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("String may not be empty".to_owned());
    }
    let control: Vec<_> = text
        .chars()
        .filter(|c| c.is_control())
        .map(|c| u32::from(c).to_string())
        .collect();
    if control.is_empty() {
        return Ok(());
    }
    Err(format!(
        "String may not contain control sequences but had the following ASCII chars: {}",
        control.join(", ")
    ))
}

pub(super) fn at_least_one_or_minus_one(text: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(-1) | Ok(1..) => Ok(()),
        _ => Err("Value must be -1 or at least 1".to_owned()),
    }
}

pub(super) fn regex(text: &str) -> Result<(), String> {
    regex::Regex::new(text)
        .map(drop)
        .map_err(|error| format!("Invalid regular expression: {error}"))
}
