//! Transcripts of the command line, in the files beside this one: what each command prints without a terminal, 80 columns
//! wide, on standard output and (lines with `2> `) on standard error, and its exit code. A line `$ rowferry …` is a
//! command, and the lines after it are what it prints. To write the files again
//! after a change, set ROWFERRY_WRITE_TRANSCRIPTS=1 and look at the difference. Times, ports and what else depends on the run
//! have the same width in all files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use regex::Regex;
use serde_json::{Value, json};
use testkit::project_folder;

use crate::command_line::{local, printed, program};
use crate::lab;

/// Commands whose output is a program for a shell or a page, or that run until they are stopped.
const WITHOUT_TRANSCRIPT: [&str; 4] = ["completions", "man", "serve", "dev"];

/// A transcript that is being replayed.
struct Transcript {
    path: PathBuf,
    written: String,
    played: String,
}

impl Transcript {
    fn open(name: &str) -> Self {
        let path = path(name);
        let written = std::fs::read_to_string(&path).unwrap();
        Self {
            path,
            written,
            played: String::new(),
        }
    }

    /// Runs the commands in a folder, where no worker answers.
    fn play(&mut self, folder: &std::path::Path) {
        for line in self.written.clone().lines() {
            if line.starts_with("# ") {
                let gap = if self.played.is_empty() { "" } else { "\n" };
                self.played.push_str(&format!("{gap}{line}\n"));
            }
            if let Some(command) = line.strip_prefix("$ ") {
                self.run(command, folder);
            }
        }
    }

    fn run(&mut self, line: &str, folder: &std::path::Path) {
        let words = words(&line.replace("FOLDER", &folder.display().to_string()));
        let at = words.iter().position(|word| word == "rowferry").unwrap();
        let mut command = program(&words[at + 1..]);
        command.current_dir(folder).env("COLUMNS", "80");
        command.env("ROWFERRY_CONTEXTS", folder.join("contexts.json"));
        for variable in &words[..at] {
            let (name, value) = variable.split_once('=').unwrap();
            command.env(name, value);
        }
        let (out, errors, code) = printed(command.env("ROWFERRY_SERVER", "127.0.0.1:1"));
        if !self.played.is_empty() && !self.played.ends_with("\n\n") {
            let is_after_comment = self.played.lines().last().unwrap().starts_with("# ");
            self.played
                .push_str(if is_after_comment { "" } else { "\n" });
        }
        self.played.push_str(&format!("$ {line}\n"));
        for out in out.lines() {
            self.played.push_str(&format!("{}\n", masked(out, folder)));
        }
        for error in errors.lines() {
            let error = masked(error, folder);
            self.played.push_str(&format!("2> {error}\n"));
        }
        if code != Some(0) {
            let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            self.played.push_str(&format!("[exit code {code}]\n"));
        }
    }

    /// Compares, or writes the file.
    fn end(self) {
        if std::env::var_os("ROWFERRY_WRITE_TRANSCRIPTS").is_some() {
            std::fs::write(&self.path, &self.played).unwrap();
            return;
        }
        let (mut command, mut line) = ("", 0);
        let mut written = self.written.lines();
        for played in self.played.lines() {
            line += 1;
            if played.starts_with("$ ") {
                command = played;
            }
            let wanted = written.next().unwrap_or_default();
            assert_eq!(
                played,
                wanted,
                "{}:{line}, {command}: see ROWFERRY_WRITE_TRANSCRIPTS in tests/it/transcripts/mod.rs. Now it is:\n{}",
                self.path.display(),
                self.played
            );
        }
        assert_eq!(written.next(), None, "{}", self.path.display());
    }
}

/// A folder with the files that commands read.
fn files(name: &str) -> PathBuf {
    let folder = lab().scratch().path().join(format!("transcripts-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, value: &Value| {
        std::fs::write(folder.join(name), format!("{value:#}\n")).unwrap();
    };
    let config = json!({"connector.class": "FileStreamSource", "file": folder.join("lines"), "topic": "cli-lines"});
    write("lines.json", &json!({"name": "lines", "config": config}));
    let wrong = json!({"connector.class": "JdbcSink", "topics": "cli-orders",
        "connection.url": "jdbc:sqlite:/nowhere/copy.db", "batch.size": "many"});
    write("wrong.json", &json!({"name": "wrong", "config": wrong}));
    let masked = json!({"transforms": "mask", "transforms.mask.type": "org.apache.kafka.connect.transforms.MaskField$Value",
        "transforms.mask.fields": "name"});
    write("transforms.json", &masked);
    write(
        "records.json",
        &json!([{"topic": "cli-orders", "value": {"id": 1, "name": "Ann"}}]),
    );
    folder
}

fn path(name: &str) -> PathBuf {
    let folder = project_folder().join("tests/it/transcripts");
    folder.join(format!("{name}.txt"))
}

/// The words of a command line; quotes hold blanks together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (n, part) in line.split('\'').enumerate() {
        if n % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        let mut pieces = part.split(' ');
        words.last_mut().unwrap().push_str(pieces.next().unwrap());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A line of output without what differs from run to run.
fn masked(line: &str, folder: &std::path::Path) -> String {
    let masks = [
        (
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z",
            "2026-01-01T00:00:00.000Z",
        ),
        (r"127\.0\.0\.1:2\d{4}", "127.0.0.1:20000"),
        (
            r"^(Kafka cluster id  |  .kafka_cluster_id.: .)[\w-]{22}",
            "${1}XXXXXXXXXXXXXXXXXXXXXX",
        ),
        (r"argon2id\$\S+", "argon2id$$HASH"),
        (r"only once: \S+", "only once: TOKEN"),
        (r"^(token \S+ \S+) \S+$", "${1} HASH"),
    ];
    let version = env!("CARGO_PKG_VERSION");
    let line = line.replace(&folder.display().to_string(), "FOLDER");
    masks
        .iter()
        .fold(line, |line, (pattern, mask)| {
            let pattern = Regex::new(pattern).unwrap();
            pattern.replace_all(&line, *mask).into_owned()
        })
        .replace(version, "0.0.0")
}

#[test]
fn commands_without_a_worker_print_what_their_transcript_shows() {
    let folder = files("local");
    let mut transcript = Transcript::open("local");
    transcript.play(&folder);
    transcript.end();
}

#[test]
fn a_worker_that_is_not_there_is_reported_in_one_line_with_what_to_try() {
    let folder = files("unreachable");
    let mut transcript = Transcript::open("unreachable");
    transcript.play(&folder);
    for outcome in transcript.played.split("\n$ ").skip(1) {
        let lines: Vec<_> = outcome.lines().filter(|line| !line.is_empty()).collect();
        assert!(
            lines.len() == 3 && lines[1].contains("--server") && lines[2] == "[exit code 69]",
            "{outcome}"
        );
    }
    transcript.end();
}

/// The commands that have no commands below them, and whether each calls a worker: as the man pages list them.
fn all_commands() -> Vec<(String, bool)> {
    let folder = files("pages").join("man");
    let (_, errors, code) = local(&["man".as_ref(), "--folder".as_ref(), folder.as_os_str()]);
    assert_eq!(code, Some(0), "{errors}");
    let mut pages: Vec<(String, String)> = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        pages.push((name, std::fs::read_to_string(&path).unwrap()));
    }
    let has_commands = |page: &str| page.contains(".SH SUBCOMMANDS");
    let leaves = pages.iter().filter(|(_, page)| !has_commands(page));
    leaves
        .map(|(name, page)| {
            let command = name.strip_prefix("rowferry-").unwrap().to_owned();
            (command, page.contains("\\-\\-server"))
        })
        .collect()
}

/// The commands of transcripts, with `-` between the words of their names.
fn commands_of(names: &[&str]) -> BTreeSet<String> {
    let texts = names.iter().map(|name| std::fs::read_to_string(path(name)));
    let mut found = BTreeSet::new();
    for text in texts {
        for line in text.unwrap().lines().filter(|line| line.starts_with("$ ")) {
            let words = words(line);
            let after = words.iter().skip_while(|word| *word != "rowferry").skip(1);
            let names: Vec<_> = after.take(2).cloned().collect();
            found.extend(names.first().cloned());
            found.insert(names.join("-"));
        }
    }
    found
}

#[test]
fn every_command_has_a_transcript() {
    let shown = commands_of(&["local", "unreachable"]);
    let unreachable = commands_of(&["unreachable"]);
    let all = all_commands();
    assert!(all.len() > 45, "{all:?}");
    for (command, calls_worker) in all {
        let is_shown = shown.contains(&command) || WITHOUT_TRANSCRIPT.contains(&&*command);
        assert!(is_shown, "no transcript shows {command}");
        assert!(
            !calls_worker || unreachable.contains(&command),
            "unreachable.txt lacks {command}"
        );
    }
}

#[test]
fn the_help_of_every_command_says_what_each_option_does_within_80_columns() {
    for (command, _) in all_commands() {
        let mut words: Vec<&str> = command.splitn(2, '-').collect();
        words.push("-h");
        let (out, errors, code) = printed(program(&words).env("COLUMNS", "80"));
        assert_eq!(code, Some(0), "{command}: {errors}");
        let long: Vec<_> = out
            .lines()
            .filter(|line| line.chars().count() > 80)
            .collect();
        assert!(long.is_empty(), "{command}: {long:?}");
        assert!(out.contains("Usage: rowferry "), "{command}: {out}");
    }
}
