//! `rowferry dlq`: the dead letters of a connector.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use connector_api::shown::{in_lines, on_one_line};
use connector_api::{Error, Result};

use super::bar::Bar;
use super::client::RestClient;
use super::file;
use super::output::OutputArgs;
use super::print::{errln, out, outln, table};
use super::shell::connector_names;
use super::show::time;
use super::tail::shown_bytes;
use crate::http::Method;
use crate::model::{
    DeadLetter, DeadLetterPage, LetterPosition, ReplayLetters, ReplayedLetter, ShownBytes,
    path_segment,
};

/// Number of letters in one request.
const PAGE: usize = 500;

#[derive(Subcommand, Debug)]
pub(super) enum DlqCommand {
    /// List dead letters with the reasons, oldest first
    List(ListLettersCommand),
    /// Show one dead letter with its key and value
    Show(ShowLetterCommand),
    /// Write dead letters to their topics again; they are kept
    Replay(ReplayLettersCommand),
    /// Delete dead letters up to one of them, also those of other connectors in the same topic
    Drop(DropLettersCommand),
}

#[derive(Args, Debug)]
pub(super) struct ListLettersCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// Maximum number of letters
    #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ShowLetterCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// The letter, as listed: PARTITION:OFFSET, or OFFSET in partition 0
    #[arg(value_parser = position)]
    letter: LetterPosition,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ReplayLettersCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// The letters, as listed: PARTITION:OFFSET, or OFFSET in partition 0
    #[arg(value_parser = position, required_unless_present = "all")]
    letters: Vec<LetterPosition>,
    /// Replay all letters of the connector
    #[arg(long, conflicts_with = "letters")]
    all: bool,
    /// Topic to write to, for letters that do not name theirs
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Replaces the key of the letter
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Replaces the value of the letter by the text of this file; - is standard input
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct DropLettersCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// The last letter to delete, as listed: PARTITION:OFFSET, or OFFSET in partition 0
    #[arg(long, value_parser = position, required_unless_present = "all", value_name = "LETTER")]
    through: Option<LetterPosition>,
    /// Delete all letters
    #[arg(long, conflicts_with = "through")]
    all: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
}

fn position(text: &str) -> Result<LetterPosition, String> {
    let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
    match (partition.parse(), offset.parse()) {
        (Ok(partition), Ok(offset)) if partition >= 0 && offset >= 0 => {
            Ok(LetterPosition { partition, offset })
        }
        _ => Err("write PARTITION:OFFSET, as in 0:15".to_owned()),
    }
}

impl DlqCommand {
    /// Errors: as [`RestClient::send`]; `Record` if letters could not be replayed.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        match self {
            Self::List(list) => list.run(client).await,
            Self::Show(show) => show.run(client).await,
            Self::Replay(replay) => replay.run(client).await,
            Self::Drop(drop) => drop.run(client).await,
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/connectors/{}/dlq", path_segment(name))
}

/// Returns the letters of a connector, at most this number, and the name of the topic.
async fn letters(client: &RestClient, name: &str, limit: usize) -> Result<DeadLetterPage> {
    let mut all: Option<DeadLetterPage> = None;
    let _reads = Bar::open(format!("reading the dead letters of {}", on_one_line(name)));
    loop {
        let (from, found) = match &all {
            Some(page) => (page.next.as_str(), page.letters.len()),
            None => ("begin", 0),
        };
        let wanted = limit.saturating_sub(found).clamp(1, PAGE);
        let query = format!("{}?from={from}&limit={wanted}", path(name));
        let page: DeadLetterPage = client.get(&query).await?;
        let mut next = match all.take() {
            Some(mut before) => {
                before.letters.extend(page.letters);
                DeadLetterPage {
                    letters: before.letters,
                    ..page
                }
            }
            None => page,
        };
        if next.end || next.letters.len() >= limit {
            next.letters.truncate(limit);
            return Ok(next);
        }
        all = Some(next);
    }
}

fn at(letter: &DeadLetter) -> String {
    format!("{}:{}", letter.partition, letter.offset)
}

impl ListLettersCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let page = letters(client, &self.name, self.limit).await?;
        if self.output.is_document() {
            self.output.document(&serde_json::json!(page));
            return Ok(());
        }
        let row = |letter: &DeadLetter| {
            let reason = letter.reason.clone().unwrap_or_default();
            let from = match (reason.partition, reason.offset) {
                (Some(partition), Some(offset)) => format!("{} {partition}:{offset}", reason.topic),
                _ => reason.topic,
            };
            vec![
                at(letter),
                letter.timestamp.map(time).unwrap_or_default(),
                from,
                reason.stage,
                reason.message.lines().next().unwrap_or_default().to_owned(),
            ]
        };
        let rows: Vec<_> = page.letters.iter().map(row).collect();
        out!(
            "{}",
            table(&["LETTER", "TIME", "FROM", "STAGE", "REASON"], &rows)
        );
        if !page.end {
            errln!("there are more; -n shows more");
        }
        Ok(())
    }
}

fn part(part: Option<&ShownBytes>) -> String {
    part.map_or_else(|| "none".to_owned(), shown_bytes)
}

impl ShowLetterCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let LetterPosition { partition, offset } = self.letter;
        let path = format!("{}/{partition}/{offset}", path(&self.name));
        let letter: DeadLetter = client.get(&path).await?;
        if self.output.is_document() {
            self.output.document(&serde_json::json!(letter));
            return Ok(());
        }
        outln!("letter     {}", at(&letter));
        if let Some(reason) = &letter.reason {
            let task = reason
                .task
                .map(|task| format!(" task {task}"))
                .unwrap_or_default();
            let place = match (reason.partition, reason.offset) {
                (Some(partition), Some(offset)) => {
                    format!(" partition {partition} offset {offset}")
                }
                _ => String::new(),
            };
            outln!("connector  {}{task}", on_one_line(&reason.connector));
            outln!("topic      {}{place}", on_one_line(&reason.topic));
            outln!(
                "stage      {} ({})",
                on_one_line(&reason.stage),
                on_one_line(&reason.class)
            );
            outln!("exception  {}", on_one_line(&reason.exception));
            outln!(
                "message    {}",
                in_lines(&reason.message).replace('\n', "\n           ")
            );
        }
        for header in &letter.headers {
            outln!(
                "header     {} = {}",
                on_one_line(&header.name),
                on_one_line(&part(header.value.as_ref()))
            );
        }
        outln!("key        {}", on_one_line(&part(letter.key.as_ref())));
        outln!("value      {}", on_one_line(&part(letter.value.as_ref())));
        Ok(())
    }
}

impl ReplayLettersCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let all = if self.all {
            let found = letters(client, &self.name, usize::MAX).await?;
            let position = |letter: &DeadLetter| LetterPosition {
                partition: letter.partition,
                offset: letter.offset,
            };
            found.letters.iter().map(position).collect()
        } else {
            self.letters.clone()
        };
        let text = |text: String| ShownBytes {
            text: Some(text),
            ..ShownBytes::default()
        };
        let value = self
            .value
            .as_ref()
            .map(|path| file::text(path))
            .transpose()?;
        let mut done: Vec<ReplayedLetter> = Vec::new();
        let bar = Bar::of("replaying dead letters", all.len());
        for some in all.chunks(PAGE) {
            let body = ReplayLetters {
                letters: some.to_vec(),
                topic: self.topic.clone(),
                key: self.key.clone().map(text),
                value: value.clone().map(text),
            };
            let path = format!("{}/replay", path(&self.name));
            let body = serde_json::json!(body);
            done.extend(
                client
                    .send(Method::POST, &path, Some(&body))
                    .await?
                    .json::<Vec<_>>()?,
            );
            bar.done(done.len());
        }
        drop(bar);
        self.show(&done)
    }

    /// Prints what became of the letters. Errors: `Record` if one could not be replayed.
    fn show(&self, done: &[ReplayedLetter]) -> Result<()> {
        let failed = done.iter().filter(|letter| letter.error.is_some()).count();
        if self.output.is_document() {
            self.output.document(&serde_json::json!(done));
        } else {
            for letter in done {
                let at = format!("{}:{}", letter.partition, letter.offset);
                match (&letter.topic, &letter.error) {
                    (Some(topic), _) => outln!("{at} is in topic {} again", on_one_line(topic)),
                    (None, error) => {
                        let why = error.as_deref().unwrap_or_default();
                        errln!("rowferry: {at}: {}", on_one_line(why));
                    }
                }
            }
            if done.is_empty() {
                outln!("there are no dead letters");
            }
        }
        match failed {
            0 => Ok(()),
            failed => Err(Error::record(format!("{failed} of {} failed", done.len()))),
        }
    }
}

impl DropLettersCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let page = letters(client, &self.name, usize::MAX).await?;
        let before = match self.through {
            Some(LetterPosition { partition, offset }) => format!("{partition}:{}", offset + 1),
            None => page.next.clone(),
        };
        let deleted = page.letters.iter().filter(|letter| match self.through {
            Some(last) => letter.partition == last.partition && letter.offset <= last.offset,
            None => true,
        });
        let number = deleted.count();
        if number == 0 {
            outln!("there are no such dead letters");
            return Ok(());
        }
        let what = format!(
            "{number} dead letters of {} in topic {}, and those of other connectors before them, are deleted",
            on_one_line(&self.name),
            on_one_line(&page.topic)
        );
        confirm(&what, self.yes)?;
        let path = format!("{}?before={before}", path(&self.name));
        client.send(Method::DELETE, &path, None).await?;
        outln!("{number} deleted");
        Ok(())
    }
}

/// Says what is about to happen, and asks whether it should. Errors: `Config` if nobody can be
/// asked, `Record` if the answer is not yes.
pub(super) fn confirm(what: &str, yes: bool) -> Result<()> {
    errln!("{what}");
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::config("nothing was done: --yes agrees to that"));
    }
    drop(write!(std::io::stderr(), "go on? [y/N] "));
    drop(std::io::stderr().flush());
    let mut answer = String::new();
    drop(std::io::stdin().lock().read_line(&mut answer));
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        Ok(())
    } else {
        Err(Error::record("nothing was done"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_named_by_partition_and_offset() {
        let at = |partition, offset| Ok(LetterPosition { partition, offset });
        assert_eq!(position("1:15"), at(1, 15));
        assert_eq!(position("15"), at(0, 15));
        for wrong in ["", "a", "1:", "-1:0", "0:-2", "1:2:3"] {
            position(wrong).unwrap_err();
        }
    }
}
