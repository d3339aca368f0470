//! Reads certificates and keys that a URL names, as PEM: from files, up to a size limit, or from
//! the text itself.

use std::io::Read as _;
use std::path::Path;

use connector_api::{Error, Result};

/// Most bytes of a PEM file.
const MAX_BYTES: u64 = 1 << 20;

/// How every object in a PEM file begins.
const BEGIN: &str = "-----BEGIN";

/// Returns the file's content, or the value itself if it is PEM.
/// Errors: `Config` if the file cannot be read, is no PEM file, or is longer than [`MAX_BYTES`]; no
/// error quotes the content.
pub(super) fn certificates(path: &str) -> Result<Vec<u8>> {
    if path.contains(BEGIN) {
        return Ok(path.as_bytes().to_vec());
    }
    let unusable = |why: &dyn std::fmt::Display| {
        Error::config(format!(
            "the certificates in {path}, which connection.url names, cannot be used: {why}"
        ))
    };
    if !Path::new(path).is_file() {
        return Err(unusable(&"it is not a file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unusable(&error))?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unusable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(unusable(&format_args!(
            "it is longer than {MAX_BYTES} bytes (MAX_BYTES)"
        )));
    }
    if !bytes
        .windows(BEGIN.len())
        .any(|window| window == BEGIN.as_bytes())
    {
        return Err(unusable(
            &"it is not a PEM file; convert it, for example with openssl x509 -inform DER -in \
                 FILE -out FILE.pem",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_files_are_read() {
        for path in ["/dev/zero", "/proc", "/no/such/file"] {
            let error = super::certificates(path).unwrap_err();
            assert!(error.message().contains("it is not a file"), "{error}");
        }
        let error = super::certificates("/etc/passwd").unwrap_err();
        assert!(
            error.message().contains("openssl x509") && !error.message().contains("root:"),
            "{error}"
        );
        assert_eq!(
            super::certificates("-----BEGIN X").unwrap(),
            b"-----BEGIN X"
        );
    }
}
