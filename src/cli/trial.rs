//! `rowferry transforms try`: applies a connector file's transforms to the records of a file, step
//! by step. Needs no worker.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use connector_api::{Error, Result};

use super::file;
use super::print::{self, outln};
use crate::model::{RawConfig, TrialRecord, TryTransforms};
use crate::registry::Registry;
use crate::worker::trial;

#[derive(Subcommand)]
pub(super) enum TransformsCommand {
    /// Send records through a connector's transforms and print each step as JSON, one record per
    /// line
    Try(TryCommand),
}

#[derive(Args)]
pub(super) struct TryCommand {
    /// The connector file, as for apply; the name is optional
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The records: JSON objects {"topic", "key", "value", "headers", …}, in sequence or in a list;
    /// - is standard input
    #[arg(long, value_name = "FILE")]
    records: PathBuf,
}

impl TransformsCommand {
    pub(super) fn run(self, registry: &Registry) -> Result<()> {
        let Self::Try(TryCommand { config, records }) = self;
        let given = file::read_config(&config)?;
        let shown = records.display();
        let records = parse(&file::text(&records)?)
            .map_err(|why| Error::config(format!("{shown}: {why}")))?;
        let config =
            serde_json::to_string(&given).and_then(|text| serde_json::from_str::<RawConfig>(&text));
        let config = config.map_err(|why| Error::config(why.to_string()))?;
        for tried in trial::transforms(registry, &TryTransforms { config, records })? {
            let line = serde_json::to_string(&tried);
            outln!("{}", line.map_err(|error| Error::fatal(error.to_string()))?);
            if print::lost().is_some() {
                break;
            }
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<TrialRecord>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn records_can_be_in_a_list_or_in_sequence() {
        let list = parse("[{\"topic\":\"a\",\"value\":1},{\"topic\":\"b\"}]").unwrap();
        let lines = parse("{\"topic\":\"a\",\"value\":1}\n{\"topic\":\"b\"}\n").unwrap();
        assert_eq!(
            (list.len(), lines.len(), lines[1].topic.as_str()),
            (2, 2, "b")
        );
        assert!(parse("{\"value\":1}").is_err());
    }
}
