//! Reads files that the worker and its client are configured to use, up to a size limit: a device
//! or a pipe may never end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Maximum size of settings, user and certificate files and of files read by config providers, in
/// bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// Reads a file of at most `most` bytes.
/// Errors: also if it is longer.
pub(crate) fn bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    whole(File::open(path)?, most)
}

/// Like [`bytes`], as text.
pub(crate) fn text(path: &Path, most: u64) -> Result<String> {
    utf8(bytes(path, most)?)
}

/// Reads to the end, at most `most` bytes.
/// Errors: also if there is more.
pub(crate) fn whole(from: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// Converts bytes to text.
/// Errors: if they are not UTF-8.
pub(crate) fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_never_ends_is_refused() {
        let error = super::text(Path::new("/dev/zero"), 1000).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1000 bytes");
        assert!(super::bytes(Path::new("/dev/null"), 0).unwrap().is_empty());
    }
}
