//! Converters: bytes to data and back, in Kafka's own way (`strict=false`) and by the strict default.

use connector_api::{Config, Converter, Datum, EncodedPresence};
use rowferry::registry::{ConverterRole, Registry};
use serde_json::Value as Json;

use super::data::{Unheld, bytes, datum, same, same_error, sorted};
use super::{Outcome, judge_all};

#[test]
fn converters_agree_with_kafka_connect() {
    judge_all("converters", &["differences.json"], 98, |case| {
        judge(case, "false")
    });
}

/// Every fault of Kafka's that the strict default fixes is named; everything else is the same either way.
#[test]
fn the_strict_default_differs_only_where_kafka_alters_values() {
    judge_all(
        "converters",
        &["differences.json", "strict.json"],
        85,
        |case| judge(case, "true"),
    );
}

fn judge(case: &Json, strict: &str) -> Outcome {
    let class = case["converter"].as_str().unwrap();
    let mut config = Config::from([("strict", strict)]);
    for (name, text) in case["config"].as_object().unwrap() {
        config.set(name, text.as_str().unwrap());
    }
    let role = if class.ends_with("HeaderConverter") {
        ConverterRole::Header
    } else {
        ConverterRole::Value
    };
    let made = Registry::built_in().converter(class, role, &config);
    let expected = ["out", "data", "bytes"]
        .iter()
        .map(|name| &case[*name])
        .find(|json| json["at"] == "configure");
    let mut converter = match (made, expected) {
        (Err(error), Some(recorded)) => return same_error(recorded, error.message()),
        (Err(error), None) => return Err(format!("does not configure: {error}")),
        (Ok(_), Some(_)) => return Err("configures".to_owned()),
        (Ok(converter), None) => converter,
    };
    let converter = &mut *converter;
    match case["op"].as_str().unwrap() {
        "read" => {
            let data = read(converter, bytes(&case["bytes"]).as_deref(), &case["data"])?;
            let Some(data) = data else { return Ok(()) };
            let same = case["again"] == "same";
            let again = if same { &case["bytes"] } else { &case["again"] };
            let unordered = case["unordered"] == true;
            write(converter, &data, again, &case["againShortest"], unordered)
                .map(drop)
                .map_err(|e| format!("again: {e}"))
        }
        "write" => {
            let data = datum(&case["data"]).map_err(|Unheld(what)| format!("holds {what}"))?;
            let written = write(
                converter,
                &data,
                &case["bytes"],
                &case["bytesShortest"],
                false,
            )?;
            let Some(written) = written else {
                return Ok(());
            };
            let back = if case["back"] == "same" {
                &case["data"]
            } else {
                &case["back"]
            };
            read(converter, written.as_deref(), back)
                .map(drop)
                .map_err(|e| format!("back: {e}"))
        }
        _ => Ok(()),
    }
}

/// Reads and compares; `None` where an error came as recorded.
fn read(
    converter: &mut dyn Converter,
    bytes: Option<&[u8]>,
    recorded: &Json,
) -> Result<Option<Datum>, String> {
    // Once more, as the second record of a topic: from its caches a converter must read the same.
    let first = converter.decode("t", bytes);
    let second = converter.decode("t", bytes);
    if let (Ok(first), Ok(second)) = (&first, &second)
        && !same(first, second)
    {
        return Err(format!("reads {first:?}, then {second:?}"));
    }
    match (second, recorded.get("error")) {
        (Ok(data), Some(_)) => Err(format!("reads {data:?}")),
        (Err(error), Some(_)) => same_error(recorded, error.message()).map(|()| None),
        (Err(error), None) => Err(format!("does not read: {error}")),
        (Ok(data), None) => {
            let expected = datum(recorded).map_err(|Unheld(what)| format!("holds {what}"))?;
            if same(&data, &expected) {
                Ok(Some(data))
            } else {
                Err(format!("reads {data:?} instead of {expected:?}"))
            }
        }
    }
}

/// Writes and compares; `None` where an error came as recorded.
fn write(
    converter: &mut dyn Converter,
    data: &Datum,
    recorded: &Json,
    shortest: &Json,
    unordered: bool,
) -> Result<Option<Option<Vec<u8>>>, String> {
    let mut out = Vec::new();
    let written = converter
        .encode("t", data, &mut out)
        .map(|presence| (presence == EncodedPresence::Present).then_some(out));
    match (written, recorded.get("error")) {
        (Ok(bytes), Some(_)) => Err(format!(
            "writes {:?}",
            bytes.map(|b| String::from_utf8_lossy(&b).into_owned())
        )),
        (Err(error), Some(_)) => same_error(recorded, error.message()).map(|()| None),
        (Err(error), None) => Err(format!("does not write: {error}")),
        (Ok(ours), None) => {
            let expected = bytes(if shortest.is_null() {
                recorded
            } else {
                shortest
            });
            let json = |bytes: &Option<Vec<u8>>| {
                serde_json::from_slice::<Json>(bytes.as_deref().unwrap_or_default()).ok()
            };
            let free = || {
                unordered
                    && json(&ours).as_ref().map(sorted) == json(&expected).as_ref().map(sorted)
            };
            if ours == expected || free() {
                return Ok(Some(ours));
            }
            let text =
                |bytes: Option<Vec<u8>>| bytes.map(|b| String::from_utf8_lossy(&b).into_owned());
            Err(format!(
                "writes {:?} instead of {:?}",
                text(ours),
                text(expected)
            ))
        }
    }
}
