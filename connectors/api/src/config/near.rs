//! Suggestions for misspelled names.

#![expect(
    clippy::indexing_slicing,
    reason = "the table has one row and column more than the words have letters"
)]

/// Maximum length in bytes; longer names get no suggestion.
const LONGEST: usize = 128;

/// Returns the name in `known` that `name` is most likely a misspelling of: equal except for letter
/// case, dots, `-` and `_`, or else within an edit distance of two (one for short names). `None` if
/// nothing is close.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let plain = plain(name);
    let most = if plain.len() < 8 { 1 } else { 2 };
    let with_distance =
        |known: &'a str| Some((distance(&plain, &self::plain(known), most)?, known));
    // Names of other lengths are passed over before anything is allocated for them.
    let is_as_long = |known: &&str| letters(known).count().abs_diff(plain.len()) <= most;
    let found = known
        .into_iter()
        .filter(|known| known.len() <= LONGEST)
        .filter(is_as_long)
        .filter_map(with_distance);
    found
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn plain(name: &str) -> Vec<char> {
    letters(name).collect()
}

/// What counts of a name: no dots, `-` and `_`, and no difference of case.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars()
        .filter(|c| !matches!(c, '.' | '-' | '_'))
        .flat_map(char::to_lowercase)
}

/// Counts insertions, deletions, substitutions and transpositions of neighbours; `None` if there
/// are more than `most`.
fn distance(a: &[char], b: &[char], most: usize) -> Option<usize> {
    if a.is_empty() || b.is_empty() || a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(x != y))
                .min(rows[i][j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()]
        .last()
        .copied()
        .filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_none() {
        let known = [
            "table.whitelist",
            "table.blacklist",
            "exclude",
            "include",
            "renames",
            "connection.url",
        ];
        for (name, want) in [
            ("Table.Whitelist", Some("table.whitelist")),
            ("table_whitelist", Some("table.whitelist")),
            ("table.whitlist", Some("table.whitelist")),
            ("tabel.blacklist", Some("table.blacklist")),
            ("Exclude", Some("exclude")),
            ("exlcude", Some("exclude")),
            ("connection.uri", Some("connection.url")),
            ("something", None),
            ("", None),
        ] {
            assert_eq!(near(name, known), want, "{name}");
        }
        assert_eq!(near(&"a".repeat(100_000), known), None);
    }
}
