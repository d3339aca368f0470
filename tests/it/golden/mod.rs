//! What Kafka Connect's own converters and transforms do, recorded (`tests/golden`), against ours.
//!
//! Every case must agree, or be listed in `differences.json` beside the recordings with the reason; a listed case that
//! agrees after all is an error too, so that the list stays correct.

mod converters;
#[cfg(all(feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod damage;
mod data;
#[cfg(all(feature = "avro", feature = "json-schema", feature = "protobuf"))]
pub mod inputs;
mod transforms;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// How a case went: `Err` says what differs.
type Outcome = Result<(), String>;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The lists beside the recordings: what differs in Kafka's own way, and what the strict default refuses besides.
const LISTS: [&str; 2] = ["differences.json", "strict.json"];

/// Runs `judge` over every case of a folder and compares with the differences that these `lists` name. The outcome must
/// agree in at least `percent` of the cases.
fn judge_all(name: &str, lists: &[&str], percent: usize, judge: impl Fn(&Json) -> Outcome) {
    let folder = folder(name);
    let mut listed: BTreeMap<_, _> = lists
        .iter()
        .flat_map(|list| differences(&folder.join(list)))
        .collect();
    let (mut cases, mut agreed, mut wrong) = (0usize, 0usize, Vec::new());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "json"))
    {
        if LISTS.iter().any(|list| file.ends_with(list)) {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        for case in serde_json::from_str::<Vec<Json>>(&text).unwrap() {
            cases += 1;
            let id = case["id"].as_str().unwrap();
            match (judge(&case), listed.remove(id)) {
                (Ok(()), None) => agreed += 1,
                (Ok(()), Some(why)) => wrong.push(format!("{id}: listed ({why}), but agrees")),
                (Err(_), Some(_)) => {}
                (Err(what), None) => wrong.push(format!("{id}: {what}")),
            }
        }
    }
    wrong.extend(
        listed
            .into_keys()
            .map(|id| format!("{id}: listed, but there is no such case")),
    );
    println!("{name}: {agreed} of {cases} cases agree");
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        agreed * 100 >= cases * percent,
        "only {agreed} of {cases} cases agree"
    );
}

fn differences(list: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(list).unwrap();
    let groups: Vec<Json> = serde_json::from_str(&text).unwrap();
    let mut listed = BTreeMap::new();
    for group in groups {
        let why = group["why"].as_str().unwrap();
        for id in group["cases"].as_array().unwrap() {
            listed.insert(id.as_str().unwrap().to_owned(), why.to_owned());
        }
    }
    listed
}
