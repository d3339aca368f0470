//! Files that the worker and its client are told to read, no further than they have any reason to
//! be long: a device or a pipe may never end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Bytes of settings, users, certificates, and of what config providers give out.
pub const MAX_BYTES: u64 = 1 << 20;

/// All that stands in a file of at most `most` bytes. Errors: also what is longer.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    whole(File::open(path)?, most)
}

/// The same as text.
pub fn text(path: &Path, most: u64) -> Result<String> {
    utf8(bytes(path, most)?)
}

/// All that comes until the end.
pub fn whole(from: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(
            ErrorKind::FileTooLarge,
            format!("it is longer than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// Bytes as text.
pub fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_never_ends_is_refused() {
        let error = super::text(Path::new("/dev/zero"), 1000).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 1000 bytes");
        assert!(super::bytes(Path::new("/dev/null"), 0).unwrap().is_empty());
    }
}
