//! Shared parts of converters with a schema registry: the wire format (a zero byte, the schema's id
//! in four bytes, the payload), subjects, and caches in both directions, so that the registry is
//! asked once per schema.
//!
//! Does no I/O itself: the registry is behind [`SchemaLookup`]. A [`SchemaFormat`] implements the
//! schemas and payloads of one format.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

pub(crate) mod keys;
mod subject;

#[cfg(test)]
pub(crate) mod testing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use connector_api::{
    Config, ConfigReport, Converter, Datum, EncodedPresence, Error, Result, Schema, Value,
};

use keys::RegistryOptions;

use super::trail::hint_schema_change;

/// First byte of every record.
const MAGIC: u8 = 0;
/// Maximum number of schemas that a schema may refer to, directly or not.
const MAX_REFERENCES: usize = 1000;
/// Maximum size of a schema's text together with those it refers to, in bytes.
const MAX_TEXT: usize = 8 << 20;
/// Maximum size of cached readers in bytes (schema texts and compiled types); beyond it, the cache
/// is cleared.
const MAX_KEPT: usize = 64 << 20;
/// Approximate size of one compiled type.
const BYTES_PER_TYPE: usize = 400;

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what their names say")]
pub enum SchemaLanguage {
    Avro,
    Protobuf,
    Json,
}

impl SchemaLanguage {
    /// Returns the name used by the registry (`schemaType`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }

    /// Returns the name used in texts.
    pub fn title(self) -> &'static str {
        match self {
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
            Self::Json => "JSON Schema",
        }
    }
}

/// A schema as stored in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    pub language: SchemaLanguage,
    /// Text of the schema.
    pub text: String,
    /// Other schemas that it uses.
    pub references: Vec<SchemaReference>,
}

/// A reference to another schema, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaReference {
    /// Name used by the referring schema: a full name, a file to import, or a URL.
    pub name: String,
    /// Subject that the other schema is registered under.
    pub subject: String,
    /// Version in that subject.
    pub version: i32,
}

/// Access to a schema registry.
/// Errors: `Retry` if it cannot be reached, `Denied` if it refuses the credentials, `Record` if it
/// does not have the schema or does not accept it.
pub trait SchemaLookup: Send {
    /// Returns the schema with this id.
    fn by_id(&mut self, id: i32) -> Result<SchemaText>;

    /// Returns the id of a schema in a subject. With `register`, it is registered if necessary.
    fn id_of(
        &mut self,
        subject: &str,
        schema: &SchemaText,
        register: bool,
        normalize: bool,
    ) -> Result<i32>;

    /// Returns id and schema of a version in a subject; the latest one for `None`.
    fn version(&mut self, subject: &str, version: Option<i32>) -> Result<(i32, SchemaText)>;
}

/// A data format with schemas of its own.
pub trait SchemaFormat: Send {
    /// A Connect schema matched with its counterpart, compiled for writing.
    type Writer: Send;
    /// A registered schema, compiled for reading.
    type Reader: Send;

    /// The language of its schemas.
    const LANGUAGE: SchemaLanguage;

    /// Returns the schema to register for a Connect schema.
    /// Errors: `Record` if the format has no counterpart.
    fn schema_of(&self, schema: &Schema) -> Result<SchemaText>;

    /// Returns the full record name in a registered schema; `None` if it has none.
    fn record_name(
        &self,
        schema: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Option<String>>;

    /// Creates a writer that encodes values of a Connect schema with a registered schema.
    fn writer(
        &self,
        schema: &Arc<Schema>,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Self::Writer>;

    /// Creates a reader for values of a registered schema.
    fn reader(
        &self,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Self::Reader>;

    /// Returns the number of types compiled in a reader so far.
    fn types(reader: &Self::Reader) -> usize;

    /// Appends the payload of a value.
    fn encode(&self, writer: &Self::Writer, value: &Value, out: &mut Vec<u8>) -> Result<()>;

    /// Decodes a payload.
    fn decode(&self, reader: &mut Self::Reader, payload: &[u8]) -> Result<Datum>;
}

/// Name and text of all schemas that a schema refers to, directly or not; each follows those it
/// refers to itself.
pub type ResolvedReferences = Vec<(String, String)>;

/// A converter for one format.
pub struct RegistryConverter<F: SchemaFormat> {
    format: F,
    schemas: Box<dyn SchemaLookup>,
    options: RegistryOptions,
    written: Vec<CachedWriter<F::Writer>>,
    last: usize,
    read: HashMap<i32, CachedReader<F::Reader>>,
    /// Approximate size of the cached readers, in bytes.
    kept: usize,
}

/// A cached reader, and the number of its types included in `kept`.
struct CachedReader<R> {
    reader: R,
    types: usize,
}

/// A cached writer for one schema in one topic.
struct CachedWriter<W> {
    topic: Box<str>,
    schema: Arc<Schema>,
    head: [u8; 5],
    writer: W,
}

impl<F: SchemaFormat> RegistryConverter<F> {
    /// Creates a converter for keys or values (`role`).
    /// Errors: every invalid key.
    pub fn new(
        role: &str,
        config: &Config,
        format: F,
        schemas: Box<dyn SchemaLookup>,
    ) -> Result<Self, ConfigReport> {
        let options = RegistryOptions::read(role, config)?;
        Ok(Self {
            format,
            schemas,
            options,
            written: Vec::new(),
            last: 0,
            read: HashMap::new(),
            kept: 0,
        })
    }

    /// Finds a schema among those written before, by pointer and then by content, or registers it;
    /// sets `last`.
    fn find_written(&mut self, topic: &str, schema: &Arc<Schema>) -> Result<()> {
        let is = |written: &CachedWriter<_>| {
            Arc::ptr_eq(&written.schema, schema) && *written.topic == *topic
        };
        if self.written.get(self.last).is_some_and(is) {
            return Ok(());
        }
        if let Some(at) = self.written.iter().position(is) {
            self.last = at;
            return Ok(());
        }
        if let Some(at) = self
            .written
            .iter()
            .position(|w| *w.topic == *topic && w.schema == *schema)
        {
            // So that the comparison by pointer finds it next time.
            self.written[at].schema = Arc::clone(schema);
            self.last = at;
            return Ok(());
        }
        let (id, writer) = self.prepare(topic, schema)?;
        let [a, b, c, d] = id.to_be_bytes();
        if self.written.len() >= self.options.cache {
            self.written.clear();
        }
        self.last = self.written.len();
        self.written.push(CachedWriter {
            topic: topic.into(),
            schema: Arc::clone(schema),
            head: [MAGIC, a, b, c, d],
            writer,
        });
        Ok(())
    }

    /// Registers the counterpart of a schema, or looks it up, as configured.
    fn prepare(&mut self, topic: &str, schema: &Arc<Schema>) -> Result<(i32, F::Writer)> {
        let own = self.format.schema_of(schema)?;
        let record = self.format.record_name(&own, &ResolvedReferences::new())?;
        let subject = self.options.subject(topic, record.as_deref())?;
        if let Some(id) = self.options.use_id {
            let registered = self.schemas.by_id(id)?;
            let registered = self.checked(registered, id)?;
            let references = self.references(&registered)?;
            return Ok((id, self.format.writer(schema, &registered, &references)?));
        }
        if self.options.use_latest && !self.options.register {
            let (id, registered) = self.schemas.version(&subject, None)?;
            let registered = self.checked(registered, id)?;
            let references = self.references(&registered)?;
            let writer = self.format.writer(schema, &registered, &references);
            let writer = writer
                .map_err(|e| e.context(format_args!("the latest schema of subject {subject}")))?;
            return Ok((id, writer));
        }
        let writer = self
            .format
            .writer(schema, &own, &ResolvedReferences::new())?;
        let id = self.schemas.id_of(
            &subject,
            &own,
            self.options.register,
            self.options.normalize,
        )?;
        Ok((id, writer))
    }

    fn checked(&self, found: SchemaText, id: i32) -> Result<SchemaText> {
        if found.language == F::LANGUAGE {
            return Ok(found);
        }
        let (found, wanted) = (found.language.title(), F::LANGUAGE.title());
        Err(Error::record(format!(
            "schema {id} is one of {found}, not of {wanted}: use another converter"
        )))
    }

    /// Fetches all schemas that a schema refers to.
    /// Errors: also `Record` if their text exceeds [`MAX_TEXT`].
    fn references(&mut self, schema: &SchemaText) -> Result<ResolvedReferences> {
        short_enough(schema.text.len())?;
        let mut found = ResolvedReferences::new();
        self.add_references(schema, &mut HashSet::new(), &mut found, 0)?;
        Ok(found)
    }

    fn add_references(
        &mut self,
        schema: &SchemaText,
        seen: &mut HashSet<String>,
        found: &mut ResolvedReferences,
        depth: usize,
    ) -> Result<()> {
        for reference in &schema.references {
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            if seen.len() > MAX_REFERENCES || depth > 100 {
                return Err(Error::record(
                    "a schema has too many references to other schemas",
                ));
            }
            let (_, used) = self
                .schemas
                .version(&reference.subject, Some(reference.version))?;
            self.add_references(&used, seen, found, depth + 1)?;
            found.push((reference.name.clone(), used.text));
            short_enough(
                schema.text.len() + found.iter().map(|(_, text)| text.len()).sum::<usize>(),
            )?;
        }
        Ok(())
    }

    fn learn(&mut self, id: i32) -> Result<()> {
        let registered = self.schemas.by_id(id)?;
        let registered = self.checked(registered, id)?;
        let references = self.references(&registered)?;
        let reader = self.format.reader(&registered, &references);
        let reader = reader.map_err(|e| e.context(format_args!("schema {id}")))?;
        let texts =
            registered.text.len() + references.iter().map(|(_, text)| text.len()).sum::<usize>();
        if self.read.len() >= self.options.cache {
            self.forget();
        }
        self.kept += texts;
        self.read.insert(id, CachedReader { reader, types: 0 });
        Ok(())
    }

    fn forget(&mut self) {
        self.read.clear();
        self.kept = 0;
    }
}

fn short_enough(text: usize) -> Result<()> {
    if text <= MAX_TEXT {
        return Ok(());
    }
    Err(Error::record(format!(
        "a schema with its references has more than {MAX_TEXT} bytes (MAX_TEXT)"
    )))
}

impl<F: SchemaFormat> Converter for RegistryConverter<F> {
    fn encode(&mut self, topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<EncodedPresence> {
        let title = F::LANGUAGE.title();
        let Some(schema) = &datum.schema else {
            if datum.value.is_null() {
                return Ok(EncodedPresence::Absent);
            }
            return Err(Error::record(format!(
                "data without a schema cannot be written as {title}: use records with schemas"
            )));
        };
        if datum.value.is_null() && schema.default.is_none() {
            if schema.optional {
                return Ok(EncodedPresence::Absent);
            }
            return Err(Error::record("Found null value for non-optional schema"));
        }
        self.find_written(topic, schema)?;
        let Some(written) = self.written.get(self.last) else {
            return Err(Error::fatal("schema lost from the cache"));
        };
        out.extend_from_slice(&written.head);
        let encoded = self.format.encode(&written.writer, &datum.value, out);
        encoded.map_err(|e| e.context(format_args!("Failed to serialize {title} data")))?;
        Ok(EncodedPresence::Present)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Datum> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NONE);
        };
        let title = F::LANGUAGE.title();
        let Some(([MAGIC, a, b, c, d], payload)) = bytes.split_first_chunk() else {
            let error = Error::record(format!(
                "Failed to deserialize {title} data: Unknown magic byte: the record was not \
                 written with a schema registry; use another converter"
            ));
            return Err(hint_schema_change(error, bytes));
        };
        let id = i32::from_be_bytes([*a, *b, *c, *d]);
        if !self.read.contains_key(&id) {
            self.learn(id)?;
        }
        let Some(known) = self.read.get_mut(&id) else {
            return Err(Error::fatal("schema lost from the cache"));
        };
        let decoded = self.format.decode(&mut known.reader, payload);
        let types = F::types(&known.reader);
        // A reader compiles types as records need them, so count those that this record has added.
        if types > known.types {
            self.kept += (types - known.types) * BYTES_PER_TYPE;
            known.types = types;
            if self.kept > MAX_KEPT {
                self.forget();
            }
        }
        decoded.map_err(|error| {
            hint_schema_change(
                error.context(format_args!(
                    "Failed to deserialize {title} data of schema {id}"
                )),
                bytes,
            )
        })
    }
}
