//! `rowferry conn`: whether the worker can use a database.

use clap::{Args, Subcommand};
use connector_api::shown::{in_lines, on_one_line, without_passwords};
use connector_api::{Error, Result};
use serde_json::{Value, json};

use super::client::RestClient;
use super::output::OutputArgs;
use super::print::outln;
use crate::http::Method;
use crate::model::ConfigInfos;

#[derive(Subcommand, Debug)]
pub(super) enum ConnCommand {
    /// Let the worker connect to a database as a source and as a sink would, without creating anything
    Test(TestConnectionCommand),
}

/// `rowferry conn test`.
#[derive(Args, Debug)]
pub(super) struct TestConnectionCommand {
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
    #[command(flatten)]
    output: OutputArgs,
}

impl ConnCommand {
    /// Errors: as [`RestClient::send`]; `Record` if the worker cannot use the database.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let Self::Test(test) = self;
        test.run(client).await
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
                outln!("{what:6} can use {}", shown(&self.url));
            } else {
                outln!("{what:6} cannot use {}:", shown(&self.url));
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
        let mut config = serde_json::Map::new();
        config.insert("name".to_owned(), "rowferry-conn-test".into());
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
