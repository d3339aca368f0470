//! Encrypts configs for the store: AES-256-GCM under the worker's key, since configs hold
//! passwords, and stores are copied, backed up and read by others. Pure except for random numbers.
//!
//! A stored config is `aes256gcm:KEY:BYTES`: the id of the key, then nonce, text and tag in base64.
//! Table and connector are authenticated with it, so that a row cannot be moved to another place. A
//! config that begins with `{` is plain text.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use super::failure::{StoreFailure, StoreTrouble};

/// Length of a key in bytes.
pub(super) const KEY_LEN: usize = 32;
/// Prefix of an encrypted config.
const SCHEME: &str = "aes256gcm:";
/// Length of a key's id in characters.
const ID_LEN: usize = 16;
/// Number of characters at the start of a stored config that show how it was stored.
pub(super) const MARK_LEN: usize = SCHEME.len() + ID_LEN;

/// A table that holds configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealedTable {
    Connectors,
    Tasks,
    History,
}

impl SealedTable {
    /// Returns the table's name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connectors => "connectors",
            Self::Tasks => "tasks",
            Self::History => "config_history",
        }
    }
}

/// How a stored config was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SealMark<'a> {
    Plain,
    /// Encrypted with the key of this id.
    Key(&'a str),
}

impl<'a> SealMark<'a> {
    /// Parses the first [`MARK_LEN`] or more characters of a stored config.
    pub(super) fn of(stored: &'a str) -> Self {
        let id = stored
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.get(..ID_LEN));
        id.map_or(Self::Plain, Self::Key)
    }
}

/// A key with its id.
struct CipherKey {
    id: String,
    key: LessSafeKey,
}

/// The worker's keys.
#[derive(Default)]
pub(super) struct StoreCipher {
    /// The first encrypts; all decrypt.
    keys: Vec<CipherKey>,
    /// True if current configs are encrypted too, not only the history.
    all: bool,
}

impl StoreCipher {
    /// Encrypts nothing, for a store in memory.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Creates a cipher: the first key encrypts, all decrypt. `all`: encrypt current configs too,
    /// not only the history.
    pub(super) fn new(keys: &[[u8; KEY_LEN]], all: bool) -> Result<Self, StoreFailure> {
        let key = |bytes: &[u8; KEY_LEN]| {
            let key = UnboundKey::new(&AES_256_GCM, bytes)
                .map_err(|_| broken("the key of its secrets cannot be used"))?;
            let hash = Sha256::digest([b"rowferry secrets key id: ".as_slice(), bytes].concat());
            let id = hash
                .iter()
                .take(ID_LEN / 2)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            Ok::<_, StoreFailure>(CipherKey {
                id,
                key: LessSafeKey::new(key),
            })
        };
        Ok(Self {
            keys: keys.iter().map(key).collect::<Result<_, _>>()?,
            all,
        })
    }

    /// True if a config of that table, stored in this way, has to be stored again.
    pub(super) fn is_outdated(&self, table: SealedTable, mark: &SealMark<'_>) -> bool {
        match (mark, self.key(table)) {
            (SealMark::Plain, key) => key.is_some(),
            (SealMark::Key(id), Some(key)) => *id != key.id,
            (SealMark::Key(_), None) => false,
        }
    }

    /// True if the key of this id is available.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// Returns the key that encrypts configs of that table.
    fn key(&self, table: SealedTable) -> Option<&CipherKey> {
        self.keys
            .first()
            .filter(|_| self.all || table == SealedTable::History)
    }

    /// Returns the text to store for a config.
    pub(super) fn seal(
        &self,
        table: SealedTable,
        connector: &str,
        text: &str,
    ) -> Result<String, StoreFailure> {
        let Some(key) = self.key(table) else {
            return Ok(text.to_owned());
        };
        let mut nonce = [0; NONCE_LEN];
        let failed =
            |_| broken("a config cannot be encrypted: the system provides no random numbers");
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut sealed = text.as_bytes().to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                place(table, connector),
                &mut sealed,
            )
            .map_err(failed)?;
        let bytes = [nonce.as_slice(), &sealed].concat();
        Ok(format!("{SCHEME}{}:{}", key.id, STANDARD.encode(bytes)))
    }

    /// Returns the text of a stored config. Errors: the key is missing, or the stored config was
    /// modified.
    pub(super) fn open<'a>(
        &self,
        table: SealedTable,
        connector: &str,
        stored: &'a str,
    ) -> Result<Cow<'a, str>, StoreFailure> {
        let SealMark::Key(id) = SealMark::of(stored) else {
            return Ok(stored.into());
        };
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| {
            let table = table.name();
            broken(&format!(
                "a config of {connector} in {table} is encrypted with the key {id}, which is not \
                 this worker's key"
            ))
        })?;
        let text = stored
            .get(MARK_LEN + 1..)
            .and_then(|text| STANDARD.decode(text).ok())
            .and_then(|mut bytes| {
                let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let text = key
                    .key
                    .open_in_place(nonce, place(table, connector), sealed)
                    .ok()?;
                String::from_utf8(text.to_vec()).ok()
            });
        let changed = || {
            broken(&format!(
                "a config of {connector} in {} cannot be decrypted: it was modified",
                table.name()
            ))
        };
        text.map(Cow::from).ok_or_else(changed)
    }
}

/// Returns the place of a config as authenticated data.
fn place(table: SealedTable, connector: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{} {connector}", table.name()).into_bytes())
}

fn broken(what: &str) -> StoreFailure {
    let cure = "set rowferry.secrets.key to the key that it was encrypted with, or restore the store from \
         a backup";
    StoreFailure::new(
        StoreTrouble::Damaged,
        format!("the metadata store of rowferry.store.url: {what}; {cure}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"connection.password":"CANARY"}"#;

    #[test]
    fn what_is_sealed_opens_in_its_place_only_and_never_looks_alike() {
        let cipher = StoreCipher::new(&[[1; KEY_LEN]], true).unwrap();
        let sealed = cipher.seal(SealedTable::History, "c", CONFIG).unwrap();
        assert!(
            !sealed.contains("CANARY")
                && sealed != cipher.seal(SealedTable::History, "c", CONFIG).unwrap()
        );
        assert_eq!(
            cipher.open(SealedTable::History, "c", &sealed).unwrap(),
            CONFIG
        );
        for (table, name) in [(SealedTable::Connectors, "c"), (SealedTable::History, "d")] {
            assert!(
                cipher
                    .open(table, name, &sealed)
                    .unwrap_err()
                    .text
                    .contains("was modified")
            );
        }
        let mut other = sealed.into_bytes();
        let at = MARK_LEN + 30;
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        assert!(
            cipher
                .open(
                    SealedTable::History,
                    "c",
                    &String::from_utf8(other).unwrap()
                )
                .is_err()
        );
        assert_eq!(
            cipher.open(SealedTable::History, "c", CONFIG).unwrap(),
            CONFIG,
            "plain ones of older versions"
        );
        for cut in [
            "",
            "aes256gcm:",
            "aes256gcm:0123456789abcdef",
            "aes256gcm:0123456789abcdef:AAAA",
        ] {
            drop(cipher.open(SealedTable::History, "c", cut));
        }
    }

    #[test]
    fn the_first_key_seals_and_an_older_one_still_opens() {
        let old = StoreCipher::new(&[[1; KEY_LEN]], true).unwrap();
        let both = StoreCipher::new(&[[2; KEY_LEN], [1; KEY_LEN]], true).unwrap();
        let new = StoreCipher::new(&[[2; KEY_LEN]], true).unwrap();
        let sealed = old.seal(SealedTable::Tasks, "c", CONFIG).unwrap();
        assert_eq!(both.open(SealedTable::Tasks, "c", &sealed).unwrap(), CONFIG);
        assert!(
            both.is_outdated(SealedTable::Tasks, &SealMark::of(&sealed))
                && !old.is_outdated(SealedTable::Tasks, &SealMark::of(&sealed))
        );
        let SealMark::Key(id) = SealMark::of(&sealed) else {
            panic!("{sealed}")
        };
        assert!(both.knows(id) && !new.knows(id));
        assert!(
            new.open(SealedTable::Tasks, "c", &sealed)
                .unwrap_err()
                .text
                .contains(id)
        );
    }

    #[test]
    fn configs_in_force_stay_plain_where_only_history_is_sealed() {
        let cipher = StoreCipher::new(&[[1; KEY_LEN]], false).unwrap();
        assert_eq!(
            cipher.seal(SealedTable::Connectors, "c", CONFIG).unwrap(),
            CONFIG
        );
        assert!(
            !cipher.is_outdated(SealedTable::Connectors, &SealMark::Plain)
                && cipher.is_outdated(SealedTable::History, &SealMark::Plain)
        );
        assert_eq!(
            StoreCipher::none()
                .seal(SealedTable::History, "c", CONFIG)
                .unwrap(),
            CONFIG
        );
    }
}
