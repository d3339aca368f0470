//! The least that a run must reach: `tests/bench-floor.toml`.

use serde_json::Value;
use testkit::project_folder;
use toml::{Table, Value as Toml};

/// The figures of a report that are not what they must be at least, or at most.
pub(crate) fn missed(report: &Value) -> Vec<String> {
    let file = project_folder().join("tests/bench-floor.toml");
    let text = std::fs::read_to_string(&file).expect("read tests/bench-floor.toml");
    missed_of(report, &text.parse().expect("tests/bench-floor.toml"))
}

fn missed_of(report: &Value, floors: &Table) -> Vec<String> {
    let mut missed = Vec::new();
    for (name, floor) in floors {
        let runs = report["runs"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(run) = runs.iter().find(|run| run["name"] == name.as_str()) else {
            missed.push(format!("{name}: not measured"));
            continue;
        };
        for (key, bound) in floor.as_table().into_iter().flatten() {
            let (figure, is_least) = match key.split_once('_') {
                Some(("least", figure)) => (figure, true),
                Some(("most", figure)) => (figure, false),
                _ => panic!("{name}.{key} begins with neither least_ nor most_"),
            };
            let bound = match bound {
                Toml::Float(bound) => *bound,
                other => panic!("{name}.{key}: {other:?} is not written as a decimal"),
            };
            let seen = run[figure].as_f64().unwrap_or(f64::NAN);
            let holds = if is_least {
                seen >= bound
            } else {
                seen <= bound
            };
            if !holds {
                missed.push(format!("{name}: {figure} is {seen:.2}, {key} is {bound}"));
            }
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::missed_of;

    #[test]
    fn a_figure_beyond_its_bound_is_named_and_one_that_is_missing_too() {
        let floors = "[source]\nleast_ratio = 0.3\n[sink]\nmost_database_share = 2.0\nleast_ratio = 0.2\n\
                      [gone]\nleast_ratio = 0.1\n[silent]\nleast_ratio = 0.1";
        let report = json!({"runs": [
            {"name": "source", "ratio": 0.31},
            {"name": "sink", "ratio": 0.1, "database_share": 2.5},
            {"name": "silent"},
        ]});
        let missed = missed_of(&report, &floors.parse().unwrap());
        assert_eq!(missed.len(), 4, "{missed:?}");
        for (text, want) in
            missed
                .iter()
                .zip(["gone: not measured", "silent: ratio", "sink: ", "sink: "])
        {
            assert!(text.starts_with(want), "{missed:?}");
        }
    }
}
