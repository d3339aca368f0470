//! Schemas kept in memory, for tests of formats alone; the registry itself is tested over HTTP.

use connector_api::{Error, Result};

use super::{SchemaText, Schemas};

/// The schema of each id, counted from 1, and its subject.
#[derive(Default)]
pub struct InMemory(pub Vec<(String, SchemaText)>);

impl Schemas for InMemory {
    fn by_id(&mut self, id: i32) -> Result<SchemaText> {
        let found = usize::try_from(id - 1).ok().and_then(|at| self.0.get(at));
        found.map(|(_, schema)| schema.clone()).ok_or_else(|| Error::record("no such schema"))
    }

    fn id_of(&mut self, subject: &str, schema: &SchemaText, register: bool, _normalize: bool) -> Result<i32> {
        let at = match self.0.iter().position(|(s, known)| s == subject && known == schema) {
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
        let of: Vec<_> = self.0.iter().enumerate().filter(|(_, (s, _))| s == subject).collect();
        let at = version.map_or(of.len(), |version| usize::try_from(version).unwrap());
        let found = at.checked_sub(1).and_then(|at| of.get(at)).ok_or_else(|| Error::record("no such version"))?;
        Ok((i32::try_from(found.0).unwrap() + 1, found.1.1.clone()))
    }
}
