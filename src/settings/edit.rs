//! Changes settings in the file of a worker.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use super::{file, properties};

/// Sets these settings in a properties file. It is replaced as a whole, with the same owner and
/// permissions, or not at all. Errors: it is no such file, or it cannot be replaced.
pub fn write_settings(path: &Path, pairs: &[(&str, &str)]) -> Result<()> {
    let is_toml = |end: &std::ffi::OsStr| end.eq_ignore_ascii_case("toml");
    if path.extension().is_some_and(is_toml) {
        let why = "files in TOML have to be changed by hand";
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let path = fs::canonicalize(path)?;
    let before = file::text(&path, file::MAX_BYTES)?;
    let after = properties::set(&before, pairs)
        .map_err(|(line, why)| Error::new(ErrorKind::InvalidData, format!("line {line}: {why}")))?;
    let known = fs::metadata(&path)?;
    let mut name = path.clone().into_os_string();
    name.push(".new");
    let mut new = File::create_new(&name)?;
    let mut replaced = || -> Result<()> {
        new.set_permissions(known.permissions())?;
        let made = new.metadata()?;
        if (made.uid(), made.gid()) != (known.uid(), known.gid()) {
            chown(&name, Some(known.uid()), Some(known.gid()))?;
        }
        new.write_all(after.as_bytes())?;
        new.sync_all()?;
        fs::rename(&name, &path)
    };
    let done = replaced();
    if done.is_err() {
        drop(fs::remove_file(&name));
    }
    done
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::write_settings;

    #[test]
    fn a_file_keeps_its_permissions_and_a_file_that_cannot_be_changed_stays() {
        let folder = std::env::temp_dir().join(format!("rowferry-edit-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("worker.properties");
        fs::write(&path, "a=1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write_settings(&path, &[("b", "2")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a=1\nb=2\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&path, "a=\\u12\n").unwrap();
        assert!(write_settings(&path, &[("b", "2")]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a=\\u12\n");
        let toml = folder.join("worker.toml");
        fs::write(&toml, "").unwrap();
        assert!(write_settings(&toml, &[("b", "2")]).is_err());
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            2,
            "nothing is left behind"
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
