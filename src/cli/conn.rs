//! `rowferry conn`: whether the worker can use a database, and what it would need.

use clap::{Args, Subcommand};
use connector_api::shown::{in_lines, on_one_line, without_passwords};
use connector_api::{Error, Result};
use serde_json::{Map, Value, json};

use super::client::RestClient;
use super::discover::DiscoverCommand;
use super::doctor::DoctorCommand;
use super::output::OutputArgs;
use super::print::outln;
use crate::http::Method;
use crate::model::ConfigInfos;

#[derive(Subcommand, Debug)]
pub(super) enum ConnCommand {
    /// Let the worker connect to a database as a source and as a sink would, without creating anything
    Test(TestConnectionCommand),
    /// List the tables of a database with the modes that can read them, and propose a source
    Discover(DiscoverCommand),
    /// Check everything that connectors in files need, and say how to fix what is missing
    Doctor(DoctorCommand),
}

/// A database and how to log in.
#[derive(Args, Debug)]
pub(super) struct DatabaseArgs {
    /// Address of the database, such as jdbc:mariadb://db1:3306/shop
    url: String,
    /// User of the database
    #[arg(long, value_name = "NAME")]
    db_user: Option<String>,
    /// Password of the database
    #[arg(
        long,
        env = "ROWFERRY_DB_PASSWORD",
        value_name = "TEXT",
        hide_env_values = true
    )]
    db_password: Option<String>,
}

impl DatabaseArgs {
    /// Returns the name of the database, as far as a topic's name can have it.
    pub(super) fn name(&self) -> String {
        let path = self.url.split(['?', ';']).next().unwrap_or_default();
        let name = path.rsplit(['/', ':']).next().unwrap_or_default();
        let name = name.strip_suffix(".db").unwrap_or(name);
        let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
        name.chars().filter(|c| legal(*c)).collect()
    }

    /// Returns the keys of a connector of this class that uses the database.
    pub(super) fn config(&self, class: &str) -> Map<String, Value> {
        let mut config = Map::new();
        config.insert("connector.class".to_owned(), class.into());
        config.insert("connection.url".to_owned(), self.url.as_str().into());
        for (key, value) in [
            ("connection.user", &self.db_user),
            ("connection.password", &self.db_password),
        ] {
            if let Some(value) = value {
                config.insert(key.to_owned(), value.as_str().into());
            }
        }
        config
    }
}

/// `rowferry conn test`.
#[derive(Args, Debug)]
pub(super) struct TestConnectionCommand {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl ConnCommand {
    /// Errors: as [`RestClient::send`]; `Record` if the worker cannot use the database.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        match self {
            Self::Test(test) => test.run(client).await,
            Self::Discover(discover) => discover.run(client).await,
            Self::Doctor(doctor) => doctor.run(client).await,
        }
    }
}

impl TestConnectionCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let (mut failed, mut documents) = (0, Vec::new());
        let of_source = json!({"mode": "bulk", "topic.prefix": "t", "query": "SELECT 1"});
        let of_sink = json!({"topics": "t"});
        for (what, class, more) in [
            ("source", "JdbcSource", of_source),
            ("sink", "JdbcSink", of_sink),
        ] {
            let errors = self.errors(client, class, more).await?;
            failed += usize::from(!errors.is_empty());
            if self.output.is_document() {
                documents.push(json!({"as": what, "errors": errors}));
            } else if errors.is_empty() {
                outln!("{what:6} can use {}", shown(&self.database.url));
            } else {
                outln!("{what:6} cannot use {}:", shown(&self.database.url));
                for error in &errors {
                    outln!("  {}", in_lines(error).replace('\n', "\n  "));
                }
            }
        }
        if self.output.is_document() {
            self.output.document(&json!(documents));
        }
        match failed {
            0 => Ok(()),
            _ => Err(Error::record("the worker cannot use the database")),
        }
    }

    /// Returns what validation says about the connection.
    async fn errors(&self, client: &RestClient, class: &str, more: Value) -> Result<Vec<String>> {
        let mut config = self.database.config(class);
        config.insert("name".to_owned(), "rowferry-conn-test".into());
        config.extend(more.as_object().cloned().unwrap_or_default());
        let path = format!("/connector-plugins/{class}/config/validate");
        let config = Value::Object(config);
        let answer = client.send(Method::PUT, &path, Some(&config)).await?;
        let infos: ConfigInfos = answer.json()?;
        let mut errors: Vec<String> = Vec::new();
        for key in infos.configs {
            for error in key.value.errors {
                // An error of the connection is reported for each of its keys.
                if !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
        Ok(errors)
    }
}

fn shown(url: &str) -> String {
    on_one_line(&without_passwords(url)).into_owned()
}
