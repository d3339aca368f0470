//! The house rules that a program can check: who may import what, names, a `//!` on each file, the size of files.

mod links;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use regex::Regex;
use testkit::project_folder;

/// A library, and the folders (or files) that may name it.
const IMPORTS: &[(&[&str], &[&str])] = &[
    (&["axum", "tower", "tower_http"], &["src/rest"]),
    (&["rdkafka"], &["src/kafka", "tests"]),
    (
        &["sqlx"],
        &[
            "src/store",
            "connectors/jdbc/src/driver",
            "connectors/jdbc/tests",
            "tests",
        ],
    ),
    (
        &["clap", "console", "indicatif"],
        &["src/cli", "src/main.rs"],
    ),
    (
        &["connector_jdbc"],
        &["src/registry/mod.rs", "connectors/jdbc/tests", "tests"],
    ),
    (
        &["connector_file"],
        &["src/registry/mod.rs", "connectors/file/tests", "tests"],
    ),
    (&["reqwest"], &["src/http", "tests/kit"]),
    (&["prometheus_client"], &["src/metrics"]),
    (&["flate2"], &["src/rest", "connectors/jdbc/src/binlog"]),
    (&["encoding_rs"], &["connectors/jdbc/src/binlog"]),
    (&["protox", "prost_reflect"], &["src/convert/protobuf"]),
    (&["fail"], &["connectors/api/src/fail_point.rs"]),
];

/// The parts of `src` in the order in which calls go down (ARCHITECTURE.md, "Dependency rule"): each may import
/// those that come after it, and none before it. Files beside the folders are named without `.rs`.
const LAYERS: &[&str] = &[
    "cli",
    "app",
    "rest",
    "herder",
    "worker",
    "unused",
    "observe",
    "secrets",
    "registry",
    "schema_registry",
    "transform",
    "convert",
    "http",
    "settings",
    "store",
    "kafka",
    "metrics",
    "keys",
    "model",
    "waiting",
    "fail_points",
];

/// The rooms of a folder in the order in which calls go up: each may import those before it, and none after it.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "connectors/jdbc/src/source",
        &[
            "config",
            "plan",
            "visibility",
            "tables",
            "read",
            "deletes",
            "scheduler",
            "task",
            "cdc",
            "preview",
        ],
    ),
    (
        "connectors/jdbc/src/sink",
        &[
            "config",
            "mapping",
            "write",
            "statement",
            "offsets",
            "probe",
            "task",
            "preview",
        ],
    ),
];

/// Folders and files of pure code: no clock, no I/O, no tasks.
const PURE: &[&str] = &[
    "src/convert",
    "src/transform",
    "src/herder/core",
    "connectors/api/src",
    "connectors/jdbc/src/binlog",
    "connectors/jdbc/src/dialect",
    "connectors/jdbc/src/pgoutput",
];

/// What pure code may not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::net",
    "std::process",
    "SystemTime::now",
    "Instant::now",
];

/// Impure on purpose: in no program that is shipped; where a path leads; and what makes expressions end in time.
const IMPURE_ON_PURPOSE: &[&str] = &[
    "connectors/api/src/fail_point.rs",
    "connectors/api/src/files.rs",
    "src/transform/expression/limits.rs",
];

/// The most bytes that a file may have. Bytes and not lines, so that nobody gains by writing densely.
const LARGEST_FILE: usize = 30 * 1024;

/// Names that every Rust file knows without importing them (the prelude of edition 2024).
const PRELUDE: &[&str] = &[
    "AsMut",
    "AsRef",
    "Box",
    "Clone",
    "Copy",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
];

/// The folders of our crates.
const CRATES: &[&str] = &[
    "connectors/api/",
    "connectors/file/",
    "connectors/jdbc/",
    "src/",
];

/// Beginnings of paths that lead to types of our own.
const OWN_PATHS: &[&str] = &[
    "crate",
    "self",
    "super",
    "connector_api",
    "connector_file",
    "connector_jdbc",
    "rowferry",
];

fn rust_files() -> Vec<(String, String)> {
    let root = project_folder();
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "connectors", "tests"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 50, "only {} files found", files.len());
    files
}

/// The code of a file: without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")));
    lines.filter(|(_, line)| !line.trim().is_empty())
}

/// True if `name` is the first part of a path in a line.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + name.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
            && (after.starts_with("::")
                || (line.trim_start().starts_with("use ") && after.starts_with([';', ','])))
    })
}

fn is_in(file: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| Path::new(file).starts_with(place))
}

#[test]
fn each_library_is_imported_only_where_it_belongs() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        for (libraries, places) in IMPORTS.iter().filter(|(_, places)| !is_in(&file, places)) {
            for (number, line) in code(&text) {
                let named = libraries.iter().filter(|library| names(line, library));
                wrong
                    .extend(named.map(|library| {
                        format!("{file}:{number}: {library} belongs in {places:?}")
                    }));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_code_has_no_clock_and_no_io() {
    let mut wrong = Vec::new();
    let pure = |file: &str| {
        is_in(file, PURE) && !file.ends_with("tests.rs") && !is_in(file, IMPURE_ON_PURPOSE)
    };
    for (file, text) in rust_files().into_iter().filter(|(file, _)| pure(file)) {
        for (number, line) in code(&text) {
            wrong.extend(
                IMPURE
                    .iter()
                    .filter(|&&name| line.contains(name))
                    .map(|name| format!("{file}:{number}: {name}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_file_says_what_it_is_for_and_fits_in_the_head() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        if !text.starts_with("//!") {
            wrong.push(format!("{file} does not begin with //!"));
        }
        if text.len() > LARGEST_FILE && !file.ends_with("/tests.rs") {
            wrong.push(format!(
                "{file} has {} bytes, more than {LARGEST_FILE}",
                text.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A proof that is renamed or taken away is noticed.
#[test]
fn each_test_that_the_list_of_failures_names_exists() {
    let text = std::fs::read_to_string(project_folder().join("docs/dev/failures.md")).unwrap();
    let tests: String = rust_files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("tests/it/"))
        .map(|f| f.1)
        .collect();
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
        .collect();
    assert!(named.len() > 30, "only {} tests are named", named.len());
    for name in named {
        let last = name.rsplit("::").next().unwrap();
        assert!(
            tests.contains(&format!("fn {last}(")),
            "docs/dev/failures.md names {name}, which is no test"
        );
    }
}

/// The text of a file without its unit tests.
fn without_tests(text: &str) -> &str {
    text.find("\nmod tests").map_or(text, |end| &text[..end])
}

/// The types that a file declares at its top level: line numbers and names.
fn declared_types(text: &str) -> Vec<(usize, &str)> {
    let mut types = Vec::new();
    for (number, line) in code(without_tests(text)) {
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.any(|word| matches!(word, "struct" | "enum" | "trait" | "type" | "union")) {
            let name = words
                .next()
                .filter(|name| name.starts_with(char::is_uppercase));
            types.extend(name.map(|name| (number, name)));
        }
    }
    types
}

#[test]
fn no_type_has_the_name_of_another_type_of_its_crate_or_of_the_prelude() {
    let mut wrong = Vec::new();
    let files = rust_files();
    for folder in CRATES {
        let mut first: HashMap<&str, String> = HashMap::new();
        let of_crate = |name: &str| name.starts_with(folder) && !name.ends_with("tests.rs");
        for (file, text) in files
            .iter()
            .filter(|(name, _)| of_crate(name) && !name.contains("/tests/"))
        {
            for (number, name) in declared_types(text) {
                let place = format!("{file}:{number}");
                if PRELUDE.contains(&name) {
                    wrong.push(format!("{place}: {name} hides a name of the prelude"));
                }
                // Each `Result` is the standard one with another error by default.
                if name == "Result" {
                    continue;
                }
                if let Some(other) = first.insert(name, place.clone()) {
                    wrong.push(format!(
                        "{place}: {name} is also the name of the type at {other}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A type that needs an alias to be distinguished from another one needs a better name where it is declared.
#[test]
fn no_type_of_our_own_is_imported_under_another_name() {
    let alias = Regex::new(r"\b[A-Z]\w*[a-z]\w* as [A-Z]\w+").unwrap();
    let imports = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use (\w+)::[^;]*;").unwrap();
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        let own = imports
            .captures_iter(&text)
            .filter(|import| OWN_PATHS.contains(&&import[1]));
        for import in own {
            let aliases = alias
                .captures_iter(&import[0])
                .map(|found| found[0].to_owned());
            wrong.extend(aliases.map(|found| format!("{file}: {found}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The part of `src` that a file belongs to: a folder, or a file beside the folders.
fn layer_of(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    let part = inside.split('/').next()?;
    Some(part.strip_suffix(".rs").unwrap_or(part))
}

/// The parts of a folder that a text imports, or names by their full paths; `prefix` is the path of the folder.
fn imported_parts(text: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let text: String = code(without_tests(text))
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    for (at, path) in text.match_indices(prefix) {
        let rest = &text[at + path.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.extend(
                rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .map(str::to_owned),
            );
            continue;
        };
        let mut depth = 0;
        let mut word = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                c if depth == 0 && (c.is_alphanumeric() || c == '_') => {
                    word.push(c);
                    continue;
                }
                _ => {}
            }
            if depth == 0 || c == '{' {
                found.insert(std::mem::take(&mut word));
            }
            word.clear();
        }
        found.insert(word);
    }
    found
}

#[test]
fn folders_of_the_runtime_import_only_what_is_below_them() {
    let rank = |part: &str| LAYERS.iter().position(|layer| *layer == part);
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        let Some(from) = layer_of(&file).filter(|_| !file.ends_with("tests.rs")) else {
            continue;
        };
        let Some(above) = rank(from) else { continue };
        for to in imported_parts(&text, "crate::") {
            let Some(below) = rank(&to).filter(|_| to != from) else {
                continue;
            };
            if below < above {
                wrong.push(format!("{file} imports {to}, which is above {from}"));
            }
            arrows.entry(from.to_owned()).or_default().insert(to);
        }
    }
    for (from, to) in &arrows {
        println!(
            "{from} -> {}",
            to.iter().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A room names its own files by `super`, those of other rooms by `crate`; files beside the rooms name all by `super`.
#[test]
fn rooms_import_only_what_is_before_them() {
    let mut wrong = Vec::new();
    for (folder, rooms) in ROOMS {
        let module = folder
            .split_once("/src/")
            .map(|(_, path)| format!("crate::{}::", path.replace('/', "::")))
            .unwrap();
        let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (file, text) in rust_files() {
            let Some(inside) = file.strip_prefix(&format!("{folder}/")) else {
                continue;
            };
            let part = inside.split('/').next().unwrap_or(inside);
            let name = part.strip_suffix(".rs").unwrap_or(part);
            // The folder's face is above all rooms.
            if name == "mod" {
                continue;
            }
            let Some(own) = rooms.iter().position(|room| *room == name) else {
                wrong.push(format!("{file} is in no room of {folder}"));
                continue;
            };
            let mut imported = imported_parts(&text, &module);
            let is_face = inside.ends_with("/mod.rs");
            if part != name || is_face {
                imported.extend(imported_parts(&text, "super::"));
            }
            imported.remove(name);
            for to in imported {
                match rooms.iter().position(|room| *room == to) {
                    Some(before) if before < own => {}
                    Some(_) => wrong.push(format!("{file} imports {to}, which is after {name}")),
                    None => wrong.push(format!("{file} imports {to} of {folder}/mod.rs")),
                }
                arrows.entry(rooms[own]).or_default().insert(to);
            }
        }
        for (from, to) in &arrows {
            println!(
                "{folder}: {from} -> {}",
                to.iter().cloned().collect::<Vec<_>>().join(", ")
            );
        }
        assert!(arrows.len() > 5, "only {} rooms import any", arrows.len());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// True if a text contains `item`, a keyword and a name, as a whole.
fn declares(code: &str, item: &str) -> bool {
    code.match_indices(item).any(|(at, _)| {
        let next = code[at + item.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The tour of ARCHITECTURE.md leads to functions that exist, in the files that it names.
#[test]
fn each_stop_of_the_tour_exists() {
    let text = std::fs::read_to_string(project_folder().join("ARCHITECTURE.md")).unwrap();
    let tour = text
        .split("## A tour")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next());
    let stop = Regex::new(r"(?m)^\d+\. `([^`]+)`: `([^`]+)`").unwrap();
    let mut stops = 0;
    let mut wrong = Vec::new();
    for found in stop.captures_iter(tour.expect("ARCHITECTURE.md has a tour")) {
        stops += 1;
        let (file, item) = (&found[1], &found[2]);
        match std::fs::read_to_string(project_folder().join(file)) {
            Ok(code) if declares(&code, item) => {}
            Ok(_) => wrong.push(format!("{file} has no {item}")),
            Err(error) => wrong.push(format!("{file}: {error}")),
        }
    }
    assert_eq!(stops, 12, "stops of the tour");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines at the indentation of line `at`, in the block that this line is in.
fn siblings<'a>(lines: &[&'a str], at: usize) -> Vec<&'a str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(lines[at]);
    let in_block = |line: &&&str| line.trim().is_empty() || indent(line) >= own;
    let before = lines[..at].iter().rev().take_while(in_block);
    let after = lines[at..].iter().take_while(in_block);
    before
        .chain(after)
        .filter(|line| indent(line) == own)
        .map(|line| line.trim_start())
        .collect()
}

/// A new database must not compile before each place has decided what it means there: a match names every database,
/// and what a database can do is asked of its `Capabilities`, not of its name.
#[test]
fn no_place_takes_databases_that_it_does_not_name_for_all_others() {
    let compares = Regex::new(r"([!=]= *|matches!\(.*)(DatabaseKind|UrlScheme)::").unwrap();
    let arm = Regex::new(r"^\s*(\| |\(|Some\()*(DatabaseKind|UrlScheme)::.*").unwrap();
    let mut wrong = Vec::new();
    let files = rust_files();
    let of_jdbc =
        |name: &str| name.starts_with("connectors/jdbc/src") && !name.ends_with("tests.rs");
    for (file, text) in files.iter().filter(|(name, _)| of_jdbc(name)) {
        let lines: Vec<_> = without_tests(text).lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let takes_the_rest = || {
                siblings(&lines, at)
                    .iter()
                    .any(|line| line.starts_with("_ "))
            };
            if compares.is_match(line) || (arm.is_match(line) && takes_the_rest()) {
                wrong.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
