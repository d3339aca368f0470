//! Checks the language of comments, messages and documents, and the names of tests.

use std::path::{Path, PathBuf};

use regex::Regex;
use testkit::project_folder;

use super::rust_files;

/// Expressions that readers found confusing, and what to write instead.
const CONFUSING: &[(&str, &str)] = &[
    (r"told|tells", "reported, notified, emitted; says, shows"),
    (
        r"stands?|stood|standing",
        "is, is in; means, represents; stalled, frozen",
    ),
    (
        r"whoever|whomever",
        "the caller, the client, anyone who, or name it",
    ),
    (r"blames?|blamed", "offending; isolate, reject"),
    (
        r"(?:takes?|taken|took) (?:\w+ )?back",
        "rolled back, withdrawn",
    ),
    (r"lets? (?:\w+ )?go", "releases"),
    (r"aside", "separately; skipped"),
    (r"See the module", "say what the item does"),
    (
        r"by itself|by themselves",
        "automatically, alone, on its own",
    ),
    (r"anew", "again"),
    (r"troubles?", "error, fault, disturbance"),
    (r"mend|mends|mended|mending", "fix, correct"),
    (r"ridden out|rides? out", "retried"),
    (r"once more", "again"),
    (r"hears|heard", "receives"),
];

/// Files whose texts may contain these expressions: this one lists them.
const EXEMPT: &[&str] = &["tests/it/tidy/words.rs"];

/// Folders with documents, each with the folders in it.
const DOCUMENTS: &[&str] = &[".", "docs", "examples", "tests/golden", "vendor"];

/// A part of Rust source text.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Text,
}

/// Returns the comments and string literals of Rust source text, with their line numbers.
fn comments_and_texts(source: &str) -> Vec<(usize, Part, String)> {
    // Alternatives in order: comments, raw strings, strings, character literals.
    let token = Regex::new(
        r####"(?s)//[^\n]*|/\*.*?\*/|\bb?r###".*?"###|\bb?r##".*?"##|\bb?r#".*?"#|\bb?r".*?"|b?"(?:\\.|[^"\\])*"|'(?:\\[^\n]{1,9}|[^\\'\n])'"####,
    )
    .unwrap();
    let mut found = Vec::new();
    for token in token.find_iter(source) {
        let text = token.as_str();
        let part = match text.as_bytes() {
            [b'/', ..] => Part::Comment,
            [b'\'', ..] => Part::Code,
            _ => Part::Text,
        };
        if part != Part::Code {
            let line = source[..token.start()].matches('\n').count() + 1;
            found.push((line, part, text.to_owned()));
        }
    }
    found
}

/// Removes what a reader does not see: line continuations and the names in `{name}`.
fn visible(text: &str) -> String {
    let continuation = Regex::new(r"\\\n\s*").unwrap();
    let placeholder = Regex::new(r"\{\w*(?::[^{}]*)?\}").unwrap();
    let joined = continuation.replace_all(text, "");
    placeholder.replace_all(&joined, "").into_owned()
}

/// Returns all Markdown files outside of build folders.
fn documents() -> Vec<(String, String)> {
    let root = project_folder();
    let mut found = Vec::new();
    for folder in DOCUMENTS {
        collect_documents(&root.join(folder), *folder != ".", &mut found);
    }
    assert!(found.len() > 20, "only {} documents found", found.len());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap_or(&path).display();
        (name.to_string(), std::fs::read_to_string(&path).unwrap())
    };
    found.into_iter().map(read).collect()
}

fn collect_documents(folder: &Path, with_folders: bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && with_folders {
            collect_documents(&path, true, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn comments_messages_and_documents_use_plain_words() {
    let all: Vec<String> = CONFUSING
        .iter()
        .map(|(words, _)| format!("({words})"))
        .collect();
    let confusing = Regex::new(&format!(r"\b(?:{})\b", all.join("|"))).unwrap();
    let test = Regex::new(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)")
        .unwrap();
    let mut wrong = Vec::new();
    let mut check = |file: &str, line: usize, text: &str| {
        for found in confusing.captures_iter(text) {
            let kind = (0..CONFUSING.len()).find(|index| found.get(index + 1).is_some());
            let instead = kind.map_or("", |index| CONFUSING[index].1);
            wrong.push(format!("{file}:{line}: '{}': write {instead}", &found[0]));
        }
    };
    for (file, source) in rust_files() {
        if EXEMPT.contains(&file.as_str()) {
            continue;
        }
        for (line, _, text) in comments_and_texts(&source) {
            check(&file, line, &visible(&text));
        }
        for found in test.captures_iter(&source) {
            check(&file, 1, &found[1].replace('_', " "));
        }
    }
    for (file, text) in documents() {
        for (index, line) in text.lines().enumerate() {
            check(&file, index + 1, line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lists outside of the project, such as those of other connectors' test cases, change and get
/// lost; the name of a test has to say its behaviour without them.
#[test]
fn no_test_refers_to_ids_of_lists_outside_the_project() {
    let name = Regex::new(r"fn ([a-z]{1,2}\d{1,3})_\w+\(").unwrap();
    let types = Regex::new(r"^(?:[iuf](?:8|16|32|64|128))$").unwrap();
    let id = Regex::new(r"\b(?:DD|ER|EV|SM|ST|UD)\d{2}\b").unwrap();
    let mut wrong = Vec::new();
    for (file, source) in rust_files() {
        if EXEMPT.contains(&file.as_str()) {
            continue;
        }
        for (index, line) in source.lines().enumerate() {
            let names = name.captures_iter(line).map(|found| found[1].to_owned());
            let ids = id.find_iter(line).map(|found| found.as_str().to_owned());
            let found = names.filter(|id| !types.is_match(id)).chain(ids);
            wrong.extend(found.map(|id| format!("{file}:{}: {id}", index + 1)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_distinguished_from_code() {
    let source = "let told = 'x'; // a\nf(\"b \\\" // c\", r#\"d \"e\"#);";
    let found: Vec<_> = comments_and_texts(source)
        .into_iter()
        .map(|(line, part, text)| (line, part == Part::Comment, text))
        .collect();
    assert_eq!(
        found,
        [
            (1, true, "// a".to_owned()),
            (2, false, "\"b \\\" // c\"".to_owned()),
            (2, false, "r#\"d \"e\"#".to_owned()),
        ]
    );
    assert_eq!(visible("\"{told} a \\\n   {n:?}b\""), "\" a b\"");
}
