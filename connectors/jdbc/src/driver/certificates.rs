//! Files of certificates that a URL names, read no further than certificates have any reason to be long.

use std::io::Read as _;
use std::path::Path;

use connector_api::{Error, Result};

/// Bytes of such a file.
const MAX_BYTES: u64 = 1 << 20;

/// What stands in the file. Errors: `Config` where it cannot be read, is no file, or is longer than [`MAX_BYTES`].
pub fn certificates(path: &str) -> Result<Vec<u8>> {
    let unusable = |why: &dyn std::fmt::Display| {
        Error::config(format!("the certificates in {path}, which connection.url names, cannot be used: {why}"))
    };
    if !Path::new(path).is_file() {
        return Err(unusable(&"it is no file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unusable(&error))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unusable(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unusable(&format_args!("it is longer than {MAX_BYTES} bytes (MAX_BYTES)")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_files_are_read() {
        for path in ["/dev/zero", "/proc", "/no/such/file"] {
            let error = super::certificates(path).unwrap_err();
            assert!(error.message().contains("it is no file"), "{error}");
        }
    }
}
