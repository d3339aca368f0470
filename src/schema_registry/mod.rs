//! Client of a Confluent-compatible schema registry over its REST API. Schemas never change under
//! their id and are cached.
//!
//! Converters are not async: a request runs on the HTTP client's runtime while the caller's thread
//! blocks. There is one request per schema, never one per record.

mod address;
mod client;

use std::collections::HashMap;

use connector_api::{Config, ConfigReport, Error, ErrorKind, Result, fail_point};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::convert::registered::{SchemaLanguage, SchemaLookup, SchemaReference, SchemaText, keys};
use crate::http::{Method, StatusCode};
use crate::model::RESERVED;
use crate::waiting::{self, WaitReason};
use client::RegistryClient;

/// Maximum number of cached schemas.
const KEPT: usize = 1000;
/// Maximum total size of cached schemas, in bytes.
const KEPT_BYTES: usize = 32 << 20;

/// The schema registry of one converter.
pub(crate) struct SchemaRegistry {
    client: RegistryClient,
    by_id: HashMap<i32, SchemaText>,
    /// Total size of the cached schemas, in bytes.
    kept: usize,
}

impl SchemaRegistry {
    /// Checks what [`Self::open`] needs from this machine and not from the registry: the addresses,
    /// and the authorities that are trusted. Wrong values of single keys are not reported.
    pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
        if config.read(KEYS, |_| ()).is_ok()
            && let Err(wrong) = Self::open(config)
        {
            report.merge(wrong);
        }
    }

    /// Reads the settings of a converter; sends no request yet.
    /// Errors: every key that is wrong.
    pub(crate) fn open(config: &Config) -> Result<Self, ConfigReport> {
        Ok(Self {
            client: RegistryClient::open(config)?,
            by_id: HashMap::new(),
            kept: 0,
        })
    }
}

/// A schema in a request or a response.
#[derive(Serialize, Deserialize)]
struct SchemaBody {
    schema: String,
    #[serde(
        rename = "schemaType",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    language: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<SchemaUse>,
    #[serde(default, skip_serializing)]
    id: Option<i32>,
}

#[derive(Serialize, Deserialize)]
struct SchemaUse {
    name: String,
    subject: String,
    version: i32,
}

#[derive(Deserialize)]
struct SchemaIdBody {
    id: i32,
}

/// The body of an error response.
#[derive(Deserialize)]
struct RegistryRefusal {
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    message: String,
}

impl SchemaBody {
    fn of(schema: &SchemaText) -> Self {
        let used = |r: &SchemaReference| SchemaUse {
            name: r.name.clone(),
            subject: r.subject.clone(),
            version: r.version,
        };
        Self {
            schema: schema.text.clone(),
            language: (schema.language != SchemaLanguage::Avro)
                .then(|| schema.language.name().to_owned()),
            references: schema.references.iter().map(used).collect(),
            id: None,
        }
    }

    fn into_schema(self) -> Result<SchemaText> {
        let language = match self.language.as_deref() {
            None | Some("AVRO") => SchemaLanguage::Avro,
            Some("PROTOBUF") => SchemaLanguage::Protobuf,
            Some("JSON") => SchemaLanguage::Json,
            Some(other) => {
                return Err(Error::record(format!(
                    "schemas of type {other} are not supported"
                )));
            }
        };
        let reference = |used: SchemaUse| SchemaReference {
            name: used.name,
            subject: used.subject,
            version: used.version,
        };
        Ok(SchemaText {
            language,
            text: self.schema,
            references: self.references.into_iter().map(reference).collect(),
        })
    }
}

impl SchemaLookup for SchemaRegistry {
    fn by_id(&mut self, id: i32) -> Result<SchemaText> {
        if let Some(known) = self.by_id.get(&id) {
            return Ok(known.clone());
        }
        let what = format!("schema {id}");
        let body: SchemaBody = self.ask(
            Method::GET,
            format!("/schemas/ids/{id}?fetchMaxId=false"),
            None,
            &what,
        )?;
        let schema = body.into_schema()?;
        self.kept += schema.text.len();
        if self.by_id.len() >= KEPT || self.kept > KEPT_BYTES {
            self.by_id.clear();
            self.kept = schema.text.len();
        }
        self.by_id.insert(id, schema.clone());
        Ok(schema)
    }

    fn id_of(
        &mut self,
        subject: &str,
        schema: &SchemaText,
        register: bool,
        normalize: bool,
    ) -> Result<i32> {
        let (versions, what) = if register {
            ("/versions", format!("a schema of subject {subject}"))
        } else {
            (
                "",
                format!("this schema in subject {subject} (auto.register.schemas is false)"),
            )
        };
        let path = format!(
            "/subjects/{}{versions}?normalize={normalize}",
            utf8_percent_encode(subject, RESERVED)
        );
        let body = serde_json::to_string(&SchemaBody::of(schema))
            .map_err(|error| Error::fatal(error.to_string()))?;
        let SchemaIdBody { id } = self.ask(Method::POST, path, Some(body), &what)?;
        Ok(id)
    }

    fn version(&mut self, subject: &str, version: Option<i32>) -> Result<(i32, SchemaText)> {
        let version = version.map_or_else(|| "latest".to_owned(), |version| version.to_string());
        let path = format!(
            "/subjects/{}/versions/{version}",
            utf8_percent_encode(subject, RESERVED)
        );
        let what = format!("version {version} of subject {subject}");
        let body: SchemaBody = self.ask(Method::GET, path, None, &what)?;
        let id = body.id.ok_or_else(|| self.strange(&what))?;
        Ok((id, body.into_schema()?))
    }
}

impl SchemaRegistry {
    /// Sends a request and parses the response; `what` names the requested item in error texts.
    fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        method: Method,
        path: String,
        body: Option<String>,
        what: &str,
    ) -> Result<T> {
        let _noted = waiting::wait_for(WaitReason::Converter);
        fail_point::reach("schema-registry.ask")?;
        let (status, bytes) = self.client.send(method, path, body)?;
        if !status.is_success() {
            return Err(self.refused(status, &bytes, what));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.strange(what).caused_by(error))
    }

    fn strange(&self, what: &str) -> Error {
        let registry = self.client.shown();
        Error::retry(format!(
            "the schema registry at {registry} was queried for {what} and returned an unexpected \
             answer"
        ))
    }

    fn refused(&self, status: StatusCode, body: &[u8], what: &str) -> Error {
        let registry = self.client.shown();
        let said = serde_json::from_slice::<Json>(body)
            .ok()
            .and_then(|json| RegistryRefusal::deserialize(json).ok());
        let said = said.filter(|said| !said.message.is_empty());
        let said = said.map_or_else(
            || format!("HTTP {status}"),
            |said| format!("{} ({})", said.message, said.error_code),
        );
        let text = format!(
            "the schema registry at {registry} was queried for {what} and answered: {said}"
        );
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
            StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::BAD_REQUEST => ErrorKind::Record,
            _ => ErrorKind::Retry,
        };
        Error::new(kind, text)
    }
}

/// Keys read here, for the key tables of converters.
pub(crate) const KEYS: &[connector_api::ConfigKey] = &keys::KEYS;
