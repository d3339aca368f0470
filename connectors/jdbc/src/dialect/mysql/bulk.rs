//! MariaDB's bulk protocol: which servers execute it with the same outcome as single statements.
//! Pure.

/// True for servers of that version text on which the command has no known fault: before these, a
/// table with triggers takes only the first of the rows, without an error (MDEV-24411).
pub(crate) fn is_sound(version: &str) -> bool {
    let Some((numbers, _)) = version.split_once("-MariaDB") else {
        return false;
    };
    // servers before 11 put a version in front for the sake of old replicas, as in 5.5.5-10.6.8-MariaDB
    let numbers = numbers.rsplit('-').next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    match (next(), next(), next()) {
        (10, 6, patch) => patch >= 8,
        (10, minor, _) => minor >= 9,
        (major, ..) => major > 10,
    }
}

#[cfg(test)]
mod tests {
    use super::is_sound;

    #[test]
    fn servers_with_the_trigger_fault_are_not_used_in_bulk() {
        for version in [
            "10.6.8-MariaDB",
            "10.11.19-MariaDB-0+deb12u1-log",
            "11.4.2-MariaDB-ubu2404",
            "5.5.5-10.6.18-MariaDB",
            "12.0.1-MariaDB",
        ] {
            assert!(is_sound(version), "{version}");
        }
        for version in [
            "10.6.7-MariaDB",
            "10.7.3-MariaDB",
            "10.2.44-MariaDB-log",
            "5.5.5-10.4.7-MariaDB-1:10.4.7+maria~bionic",
            "8.0.36",
            "8.4.0-commercial",
            "",
        ] {
            assert!(!is_sound(version), "{version}");
        }
    }
}
