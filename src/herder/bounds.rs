//! Limits on the size of a config and on what it may ask for. They are checked when a config
//! arrives and again when a connector starts, because a config stored by an earlier version or
//! edited by hand must not bring the worker down either. Pure.

use connector_api::Config;

pub(crate) use crate::model::KEYS_MAX;

/// Maximum size of a config's names and values together: that of a record of Kafka Connect's own
/// config topic (`max.request.size`).
pub(crate) const CONFIG_MAX_BYTES: usize = 1024 * 1024;
/// Maximum size of all task configs of a connector together; each holds the connector's whole
/// config.
pub(crate) const TASK_CONFIGS_MAX_BYTES: usize = 128 * 1024 * 1024;

/// Returns `tasks.max` as given, at least 1.
pub(crate) fn tasks_max(config: &Config) -> usize {
    config
        .get("tasks.max")
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1)
        .max(1)
}

/// Returns the size of a config's names and values in bytes.
pub(crate) fn size(config: &Config) -> usize {
    config
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Returns `tasks.max` if a worker that allows a connector `most` tasks can create that many of
/// this config. Errors: the limit exceeded, as the text of a validation error.
pub(crate) fn tasks(config: &Config, most: usize) -> Result<usize, String> {
    let wanted = tasks_max(config);
    let invalid = |why: String| {
        Err(format!(
            "Invalid value {wanted} for configuration tasks.max: {why}"
        ))
    };
    if wanted > most {
        return invalid(format!(
            "Value must be no more than {most}, which rowferry.tasks.max of the worker allows"
        ));
    }
    let bytes = size(config);
    if wanted.saturating_mul(bytes) > TASK_CONFIGS_MAX_BYTES {
        let fit = (TASK_CONFIGS_MAX_BYTES / bytes.max(1)).max(1);
        return invalid(format!(
            "each task has a copy of this config of {bytes} bytes, and all copies together may \
             have {TASK_CONFIGS_MAX_BYTES}: lower it to {fit} or make the config smaller"
        ));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::{TASK_CONFIGS_MAX_BYTES, tasks};

    #[test]
    fn a_connector_has_as_many_tasks_as_the_worker_allows_and_its_config_leaves_room_for() {
        let config = |max: &str| Config::from([("tasks.max", max)]);
        for (given, want) in [("1", 1), (" 1000 ", 1000), ("0", 1), ("-5", 1), ("many", 1)] {
            assert_eq!(tasks(&config(given), 1000), Ok(want), "{given}");
        }
        for given in ["1001", "2147483647", "18446744073709551615"] {
            let refused = tasks(&config(given), 1000).unwrap_err();
            assert!(
                refused.contains("no more than 1000") && refused.contains("rowferry.tasks.max"),
                "{refused}"
            );
        }
        let mut large = config("500");
        large.set("table.whitelist", "t".repeat(TASK_CONFIGS_MAX_BYTES / 400));
        assert!(tasks(&large, 1000).unwrap_err().contains("lower it to 399"));
        large.set("tasks.max", "399");
        assert_eq!(tasks(&large, 1000), Ok(399));
    }
}
