//! What converters with a schema registry have in common: the wire format (a zero byte, the
//! schema's id in four bytes, the payload), subjects, and caches both ways, so that the registry is
//! asked once for each schema.
//!
//! Pure: the registry itself is behind [`SchemaLookup`]; a [`SchemaFormat`] knows schemas and
//! payloads of its kind.

pub mod keys;
mod subject;

#[cfg(test)]
pub(crate) mod testing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use connector_api::{
    Config, ConfigReport, Converter, Datum, EncodedPresence, Error, Result, Schema, Value,
};

use keys::RegistryOptions;

use super::trail::explained;

/// First byte of every record.
const MAGIC: u8 = 0;
/// How many schemas one schema may refer to in all.
const MAX_REFERENCES: usize = 1000;
/// Bytes of a schema's text with those that it refers to.
const MAX_TEXT: usize = 8 << 20;
/// Bytes that readers of schemas may take before all of them are forgotten: their texts, and what a
/// type compiles to.
const MAX_KEPT: usize = 64 << 20;
/// What a type compiles to, roughly.
const BYTES_PER_TYPE: usize = 400;

/// What language a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum SchemaLanguage {
    Avro,
    Protobuf,
    Json,
}

impl SchemaLanguage {
    /// Its name in the registry (`schemaType`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }

    /// Its name in texts.
    pub fn title(self) -> &'static str {
        match self {
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
            Self::Json => "JSON Schema",
        }
    }
}

/// A schema as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// Its language.
    pub language: SchemaLanguage,
    /// Its text.
    pub text: String,
    /// Other schemas that it uses.
    pub references: Vec<SchemaReference>,
}

/// The use of another schema, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaReference {
    /// How the using schema calls it: a full name, a file to import, a URL.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// Which version of it.
    pub version: i32,
}

/// The schema registry. Errors: `Retry` when it is out of reach, `Denied` when it refuses the
/// credentials, `Record` when it has no such schema or does not take it.
pub trait SchemaLookup: Send {
    /// The schema of that id.
    fn by_id(&mut self, id: i32) -> Result<SchemaText>;

    /// The id of a schema in a subject. With `register` it is put there if need be.
    fn id_of(
        &mut self,
        subject: &str,
        schema: &SchemaText,
        register: bool,
        normalize: bool,
    ) -> Result<i32>;

    /// The newest schema of a subject, or that of a version.
    fn version(&mut self, subject: &str, version: Option<i32>) -> Result<(i32, SchemaText)>;
}

/// A format with schemas of its own.
pub trait SchemaFormat: Send {
    /// A Connect schema and its counterpart, compiled for writing.
    type Writer: Send;
    /// A registered schema, compiled for reading.
    type Reader: Send;

    /// The language of its schemas.
    const LANGUAGE: SchemaLanguage;

    /// The schema to register for a Connect schema. Errors: `Record` where the format has no
    /// counterpart.
    fn schema_of(&self, schema: &Schema) -> Result<SchemaText>;

    /// The full name of a registered schema's record; `None` where it has none.
    fn record_name(
        &self,
        schema: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Option<String>>;

    /// What writes values of a Connect schema as that registered schema has them.
    fn writer(
        &self,
        schema: &Arc<Schema>,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Self::Writer>;

    /// What reads values of a registered schema.
    fn reader(
        &self,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Self::Reader>;

    /// How many types have been compiled in a reader so far.
    fn types(reader: &Self::Reader) -> usize;

    /// Appends a value's payload.
    fn encode(&self, writer: &Self::Writer, value: &Value, out: &mut Vec<u8>) -> Result<()>;

    /// Reads a payload.
    fn decode(&self, reader: &mut Self::Reader, payload: &[u8]) -> Result<Datum>;
}

/// The schemas that a schema refers to, directly or not, each after those it refers to itself: name
/// and text.
pub type ResolvedReferences = Vec<(String, String)>;

/// A converter of one format.
pub struct RegistryConverter<F: SchemaFormat> {
    format: F,
    schemas: Box<dyn SchemaLookup>,
    options: RegistryOptions,
    written: Vec<CachedWriter<F::Writer>>,
    last: usize,
    read: HashMap<i32, CachedReader<F::Reader>>,
    /// How many bytes those take, roughly.
    kept: usize,
}

/// What reads one schema, and how many types of it have been counted.
struct CachedReader<R> {
    reader: R,
    types: usize,
}

/// What is written for one schema in one topic.
struct CachedWriter<W> {
    topic: Box<str>,
    schema: Arc<Schema>,
    head: [u8; 5],
    writer: W,
}

impl<F: SchemaFormat> RegistryConverter<F> {
    /// A converter for keys or values (`role`). Errors: every key that is wrong.
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

    /// Registers, or looks for, a schema's counterpart.
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
            "schema {id} is one of {found}, not of {wanted}: another converter is needed"
        )))
    }

    /// All that a schema refers to. Errors: also `Record` for more text than [`MAX_TEXT`].
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
                    "a schema refers to more other schemas than can be followed",
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
        "a schema, with those it refers to, is longer than {MAX_TEXT} bytes (MAX_TEXT)"
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
                "data without a schema cannot be written as {title}: it needs records with schemas"
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
                "Failed to deserialize {title} data: Unknown magic byte: the record was not written with a schema \
                 registry; another converter is needed"
            ));
            return Err(explained(error, bytes));
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
        if types > known.types {
            self.kept += (types - known.types) * BYTES_PER_TYPE;
            known.types = types;
            if self.kept > MAX_KEPT {
                self.forget();
            }
        }
        decoded.map_err(|error| {
            explained(
                error.context(format_args!(
                    "Failed to deserialize {title} data of schema {id}"
                )),
                bytes,
            )
        })
    }
}
