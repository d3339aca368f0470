//! The figures of a run that can be compared with those of another one.

use serde_json::Value;

/// A figure of one direction of the worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The direction, such as `postgres-insert`, and what was measured.
    pub name: String,
    pub value: f64,
    /// False for costs.
    pub more_is_better: bool,
}

/// The keys of a run in the report's JSON that are compared, and whether more of them is better. Rates are compared as
/// ratios to the limit in the same run: absolute ones depend on what else the machine does.
const KEYS: [(&str, bool); 4] = [
    ("ratio", true),
    ("cpu_micros_per_row", false),
    ("database_micros_per_row", false),
    ("peak_bytes", false),
];

/// The figures of a report.
pub(crate) fn of_report(report: &Value) -> Vec<Figure> {
    let mut figures = Vec::new();
    for run in report["runs"].as_array().into_iter().flatten() {
        let name = run["name"].as_str().unwrap_or_default();
        for (key, more_is_better) in KEYS {
            if let Some(value) = run[key].as_f64() {
                figures.push(Figure {
                    name: format!("{name} {key}"),
                    value,
                    more_is_better,
                });
            }
        }
    }
    figures
}

/// The middle value; NaN without any.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (_, _) if values.is_empty() => f64::NAN,
        (middle, 1) => values[middle],
        (middle, _) => f64::midpoint(values[middle - 1], values[middle]),
    }
}
