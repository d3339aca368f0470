//! The keys that encrypt configs: `rowferry.secrets.key`, or the key file, which is created at the
//! first start.

use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use tracing::info;

use super::cipher::KEY_LEN;
use super::failure::{StoreFailure, StoreTrouble};
use super::files::{self, KEY_FILE};

pub(super) type CipherKeyBytes = [u8; KEY_LEN];

/// Maximum size of a key file, in bytes.
const FILE_MAX: u64 = 4096;
/// Prefix of a path in `rowferry.secrets.key`.
pub(super) const FILE: &str = "file:";

/// Returns the available keys: the configured one first, then that of the key file in `folder`,
/// which may be older.
pub(super) fn at_hand(
    configured: Option<&str>,
    folder: &Path,
) -> Result<Vec<CipherKeyBytes>, StoreFailure> {
    let mut keys = Vec::new();
    if let Some(text) = configured {
        keys.push(match text.strip_prefix(FILE) {
            Some(path) => read(Path::new(path))?.ok_or_else(|| {
                refused(&format!(
                    "rowferry.secrets.key names {path}, which does not exist: put the file with \
                     the key there"
                ))
            })?,
            None => parse(text)
                .ok_or_else(|| refused(&format!("rowferry.secrets.key is not a key: {HOW}")))?,
        });
    }
    let path = folder.join(KEY_FILE);
    if let Some(key) = read(&path)? {
        files::close(&path, 0o600);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Creates the key file, readable by its owner only.
pub(super) fn make(folder: &Path) -> Result<CipherKeyBytes, StoreFailure> {
    let mut key = [0; KEY_LEN];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| refused("the system provides no random numbers to create a key"))?;
    let path = folder.join(KEY_FILE);
    files::private_folder(folder)?;
    match files::create_private(&path, &format!("{}\n", STANDARD.encode(key))) {
        Ok(()) => {
            info!(
                "{} has the key that encrypts the configs in the metadata store: keep a copy of \
                 it, separate from copies of the store",
                path.display()
            );
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(StoreFailure::new(
            StoreTrouble::Full,
            format!("the key file {} cannot be written: {error}", path.display()),
        )),
        Err(error) => Err(refused(&format!(
            "the key file {} cannot be written: {error}",
            path.display()
        ))),
    }
}

const HOW: &str =
    "write 32 random bytes in base64 (`openssl rand -base64 32`), or file:PATH of a file with them";

fn read(path: &Path) -> Result<Option<CipherKeyBytes>, StoreFailure> {
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => match parse(&text) {
            Some(key) => Ok(Some(key)),
            None => Err(refused(&format!(
                "the key file {} has no key: restore it from a copy; to use another key, {HOW}",
                path.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(&format!(
            "the key file {} cannot be read: {error}",
            path.display()
        ))),
    }
}

fn parse(text: &str) -> Option<CipherKeyBytes> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

fn refused(text: &str) -> StoreFailure {
    StoreFailure::new(StoreTrouble::Refused, text)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert_eq!(parse(&format!(" {text}\n")).unwrap()[31], 31);
        for wrong in ["", "secret", "AAEC", &text[1..], &format!("{text}AAAA")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
