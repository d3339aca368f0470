//! Test of the documents: each command line in them is one that this program takes, and each call of the REST API exists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::PathBuf;

use clap::CommandFactory;
use clap::error::ErrorKind;
use serde_json::Value;

/// Words of documents that represent something, and what they may represent.
const EXAMPLES: [(&str, &str); 8] = [
    ("VERSION", "3"),
    ("N", "1200"),
    ("PARTITION", "{\"table\":\"t\"}"),
    ("OFFSET", "{\"incrementing\":1}"),
    ("JSON", "{}"),
    ("COMMAND", "get"),
    ("LETTER", "0:15"),
    ("…", "x"),
];

/// A piece of code in a document.
struct Piece {
    file: PathBuf,
    text: String,
    /// Whether it is in a sentence, where it may lack arguments that do not matter there.
    is_mention: bool,
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs"), PathBuf::from("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// Lines of blocks, where a backslash continues a line and so does an open quote; and spans of code in the text.
fn pieces(file: &PathBuf) -> Vec<Piece> {
    let text = std::fs::read_to_string(file).unwrap();
    let piece = |text: &str, is_mention| Piece {
        file: file.clone(),
        text: text.trim().to_owned(),
        is_mention,
    };
    let mut found = Vec::new();
    let (mut is_block, mut open) = (false, String::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            open.clear();
        } else if is_block {
            open.push_str(line.strip_suffix('\\').unwrap_or(line));
            if open.matches('\'').count() % 2 == 0 && !line.ends_with('\\') {
                found.push(piece(&open, false));
                open.clear();
            }
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| piece(span, true)));
        }
    }
    found
}

/// The words of a command line, without comments, redirections and what follows in a pipe.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut is_word = false;
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => (quote, is_word) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => {
                is_word = true;
                word.push(c);
            }
        }
    }
    if is_word {
        words.push(word);
    }
    let ends = ["#", "|", ">", "<", "&", "&&", ";"];
    let end = words.iter().position(|word| ends.contains(&&**word));
    words.truncate(end.unwrap_or(words.len()));
    words
}

/// The command lines that a piece represents: `list\|show` is one of each, and what is in brackets may be there.
fn command_lines(piece: &Piece) -> Vec<Vec<String>> {
    let start = [
        "rowferry ",
        "target/release/rowferry ",
        "source <(rowferry ",
    ];
    let Some(line) = start
        .iter()
        .find_map(|start| piece.text.strip_prefix(start))
    else {
        return Vec::new();
    };
    let line = line
        .split(')')
        .next()
        .filter(|_| piece.text.starts_with("source"))
        .unwrap_or(line);
    let mut lines = vec![Vec::new()];
    for word in words(&line.replace("\\|", "\u{1}")) {
        let word = word.replace(['[', ']'], "");
        let choices: Vec<String> = word.split('\u{1}').map(str::to_owned).collect();
        let before = std::mem::take(&mut lines);
        for choice in choices {
            let example = EXAMPLES.iter().find(|(name, _)| *name == choice);
            let word = example.map_or(choice, |(_, example)| (*example).to_owned());
            lines.extend(before.iter().map(|words: &Vec<String>| {
                let mut words = words.clone();
                words.push(word.clone());
                words
            }));
        }
    }
    lines
}

#[test]
fn every_command_in_the_documents_is_one_that_this_program_takes() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for piece in documents().iter().flat_map(pieces) {
        for line in command_lines(&piece) {
            seen += 1;
            let words = std::iter::once("rowferry").chain(line.iter().map(String::as_str));
            let Err(error) = super::Cli::command().try_get_matches_from(words) else {
                continue;
            };
            let is_mention = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            ) && piece.is_mention;
            let is_help = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
            if !is_mention && !is_help.contains(&error.kind()) {
                let (file, text) = (piece.file.display(), &piece.text);
                wrong.push(format!("{file}: {text}: {error}"));
            }
        }
    }
    assert!(seen > 120, "only {seen} commands are found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Method and path of a call, if a piece is one: of curl, or written as `GET /connectors`.
fn call(piece: &Piece) -> Option<(String, String)> {
    const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];
    let words = words(&piece.text);
    let (method, path) = if words.first()? == "curl" {
        let address = words.iter().find(|word| word.contains("localhost:80"))?;
        let method = words
            .iter()
            .position(|word| word == "-X")
            .and_then(|at| words.get(at + 1));
        let has_data = words.iter().any(|word| word == "--data");
        let method = method.map_or(if has_data { "POST" } else { "GET" }, String::as_str);
        let path = address.split_once("localhost:")?.1;
        (
            method,
            path.split_once('/')
                .map_or("/".to_owned(), |(_, path)| format!("/{path}")),
        )
    } else {
        let [method, path] = words.as_slice() else {
            return None;
        };
        let method = METHODS.iter().find(|known| *known == method)?;
        (*method, path.starts_with('/').then(|| path.clone())?)
    };
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Some((method.to_lowercase(), path))
}

/// True if a path is one of the template `/connectors/{connector}`.
fn is_of(path: &str, template: &str) -> bool {
    let (path, template) = (path.split('/'), template.split('/'));
    let same =
        |(own, known): (&str, &str)| own == known || (known.starts_with('{') && !own.is_empty());
    path.clone().count() == template.clone().count() && path.zip(template).all(same)
}

#[test]
fn every_call_in_the_documents_exists() {
    let document = std::fs::read_to_string("docs/openapi.json").unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    // These describe the API and are not part of it.
    let others = ["/openapi.json", "/docs"];
    let (mut seen, mut wrong) = (0, Vec::new());
    for piece in documents().iter().flat_map(pieces) {
        let Some((method, path)) = call(&piece) else {
            continue;
        };
        seen += 1;
        let mut known = paths.iter().filter(|(template, _)| is_of(&path, template));
        if !known.any(|(_, methods)| methods.get(&method).is_some()) && !others.contains(&&*path) {
            wrong.push(format!("{}: {}", piece.file.display(), piece.text));
        }
    }
    assert!(seen > 30, "only {seen} calls are found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_and_calls_are_found_in_documents() {
    let piece = |text: &str| Piece {
        file: PathBuf::new(),
        text: text.to_owned(),
        is_mention: true,
    };
    let lines = command_lines(&piece("rowferry dlq list\\|show [NAME] 'a b' > file # why"));
    assert_eq!(
        lines,
        [
            ["dlq", "list", "NAME", "a b"],
            ["dlq", "show", "NAME", "a b"]
        ]
    );
    let of = |text: &str| call(&piece(text));
    let some = |method: &str, path: &str| Some((method.to_owned(), path.to_owned()));
    assert_eq!(
        of("curl -X PUT 'localhost:8083/a/b?c=d'"),
        some("put", "/a/b")
    );
    assert_eq!(of("curl localhost:8083"), some("get", "/"));
    assert_eq!(of("DELETE /a"), some("delete", "/a"));
    assert_eq!(of("GET a few"), None);
    assert!(is_of("/a/NAME/b", "/a/{x}/b") && !is_of("/a/NAME", "/a/{x}/b"));
}
