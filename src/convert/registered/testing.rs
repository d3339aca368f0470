//! Test support for all formats: schemas kept in memory (the registry client is tested over HTTP),
//! converters on top of them, and damaged records.

use std::sync::Arc;

use connector_api::{Config, ConfigReport, Converter, Datum, EncodedPresence, Error, Result};

use super::{
    RegistryConverter, SchemaFormat, SchemaLanguage, SchemaLookup, SchemaReference, SchemaText,
};
use crate::convert::random::{Random, mutated};

/// Returns the settings of a converter: the required ones and `more`.
pub(crate) fn config(more: &[(&str, &str)]) -> Config {
    let mut config = Config::from([("schema.registry.url", "http://nowhere")]);
    more.iter()
        .for_each(|(name, value)| config.set(*name, *value));
    config
}

/// Creates a converter for values.
pub(crate) fn converter<F: SchemaFormat>(
    format: fn(&Config) -> Result<F, ConfigReport>,
    known: InMemorySchemas,
    more: &[(&str, &str)],
) -> RegistryConverter<F> {
    let config = config(more);
    RegistryConverter::new("value", &config, format(&config).unwrap(), Box::new(known)).unwrap()
}

/// Encodes a record; `None` for null.
pub(crate) fn encoded(converter: &mut dyn Converter, datum: &Datum) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    let presence = converter.encode("t", datum, &mut out)?;
    Ok((presence == EncodedPresence::Present).then_some(out))
}

/// Creates a schema with references to the first versions of subjects, named like the subjects.
pub(crate) fn registered(language: SchemaLanguage, text: &str, references: &[&str]) -> SchemaText {
    let reference = |name: &&str| SchemaReference {
        name: (*name).to_owned(),
        subject: (*name).to_owned(),
        version: 1,
    };
    SchemaText {
        language,
        text: text.to_owned(),
        references: references.iter().map(reference).collect(),
    }
}

/// Decodes a payload that was written with this schema.
pub(crate) fn read<F: SchemaFormat>(
    format: fn(&Config) -> Result<F, ConfigReport>,
    schema: SchemaText,
    payload: &[u8],
    more: &[(&str, &str)],
) -> Result<Datum> {
    let known = InMemorySchemas(vec![("t-value".to_owned(), schema)]);
    converter(format, known, more).decode("t", Some(&[&[0, 0, 0, 0, 1], payload].concat()))
}

/// Reads random records of depth `depth` with damaged payloads, and writes again those that can be
/// read. Nothing may panic.
pub(crate) fn damage(converter: &mut dyn Converter, depth: usize) {
    let mut random = Random::seeded();
    for _ in 0..1000 {
        let schema = Arc::new(random.plain_schema(depth));
        let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
        let Ok(Some(valid)) = encoded(converter, &datum) else {
            continue;
        };
        for _ in 0..20 {
            let mut bytes = mutated(&mut random, &valid);
            // Keep the schema id, so that only the payload is damaged.
            let head = bytes.len().min(5);
            bytes[..head].copy_from_slice(&valid[..head]);
            if let Ok(datum) = converter.decode("t", Some(&bytes)) {
                drop(converter.encode("t", &datum, &mut Vec::new()));
            }
        }
    }
}

/// Reads schemas whose text is damaged, and a payload with those that can be read. Nothing may
/// panic.
pub(crate) fn damage_schemas<F: SchemaFormat>(format: &F, depth: usize) {
    let mut random = Random::seeded();
    for _ in 0..300 {
        let Ok(mut schema) = format.schema_of(&random.plain_schema(depth)) else {
            continue;
        };
        for _ in 0..20 {
            let damaged = mutated(&mut random, schema.text.as_bytes());
            schema.text = String::from_utf8_lossy(&damaged).into_owned();
            if let Ok(mut reader) = format.reader(&schema, &Vec::new()) {
                drop(format.decode(&mut reader, &[0; 64]));
            }
        }
    }
}

/// Subject and schema by id, counted from 1.
#[derive(Default)]
pub(crate) struct InMemorySchemas(pub Vec<(String, SchemaText)>);

impl SchemaLookup for InMemorySchemas {
    fn by_id(&mut self, id: i32) -> Result<SchemaText> {
        let found = usize::try_from(id - 1).ok().and_then(|at| self.0.get(at));
        found
            .map(|(_, schema)| schema.clone())
            .ok_or_else(|| Error::record("no such schema"))
    }

    fn id_of(
        &mut self,
        subject: &str,
        schema: &SchemaText,
        register: bool,
        _normalize: bool,
    ) -> Result<i32> {
        let at = match self
            .0
            .iter()
            .position(|(s, known)| s == subject && known == schema)
        {
            Some(at) => at,
            None if register => {
                self.0.push((subject.to_owned(), schema.clone()));
                self.0.len() - 1
            }
            None => return Err(Error::record("no such schema")),
        };
        Ok(i32::try_from(at).unwrap() + 1)
    }

    fn version(&mut self, subject: &str, version: Option<i32>) -> Result<(i32, SchemaText)> {
        let of: Vec<_> = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (s, _))| s == subject)
            .collect();
        let at = version.map_or(of.len(), |version| usize::try_from(version).unwrap());
        let found = at
            .checked_sub(1)
            .and_then(|at| of.get(at))
            .ok_or_else(|| Error::record("no such version"))?;
        Ok((i32::try_from(found.0).unwrap() + 1, found.1.1.clone()))
    }
}
