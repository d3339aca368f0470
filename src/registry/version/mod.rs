//! Version requirements for plug-ins in a config (KIP-891): one version, or a range in Maven's
//! notation. Pure.
//!
//! Rules and texts are those of Kafka Connect, which takes them from Maven's `VersionRange`.

mod order;

use std::cmp::Ordering;
use std::fmt;

use connector_api::{Error, Plugin};

use order::PluginVersion;

/// Accepts any version, as if none was required.
const LATEST: &str = "latest";

/// A version requirement: at least one range, in ascending order without overlaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionReq(Vec<VersionRange>);

impl VersionReq {
    /// Parses `1.0`, which requires exactly that version, `[1.0,2.0)`, or several ranges. `None` if
    /// every version is accepted.
    /// Errors: Kafka Connect's text about an invalid range.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        if text == LATEST {
            return Ok(None);
        }
        let spec = if text.starts_with(['[', '(']) {
            text.to_owned()
        } else {
            format!("[{text}]")
        };
        let (mut ranges, mut rest) = (Vec::<VersionRange>::new(), spec.as_str());
        while rest.starts_with(['[', '(']) {
            let end = rest
                .find([')', ']'])
                .ok_or_else(|| format!("Unbounded range: {spec}"))?;
            let range = VersionRange::read(&rest[..=end])?;
            if ranges.last().is_some_and(|last| range.begins_within(last)) {
                return Err(format!("Ranges overlap: {spec}"));
            }
            ranges.push(range);
            rest = rest[end + 1..].trim();
            rest = rest.strip_prefix(',').map_or(rest, str::trim);
        }
        if !rest.is_empty() {
            return Err(format!(
                "Only fully-qualified sets allowed in multiple set scenario: {spec}"
            ));
        }
        Ok(Some(Self(ranges)))
    }

    /// Checks the version of a plug-in.
    /// Errors: Kafka Connect's text, with the version that is available.
    pub(crate) fn met_by(&self, plugin: &dyn Plugin) -> Result<(), String> {
        let version = PluginVersion::new(plugin.version());
        if self.0.iter().any(|range| range.contains(&version)) {
            return Ok(());
        }
        Err(format!(
            "Plugin {} not found that matches the version range {self}, available versions: [{version}]",
            plugin.class()
        ))
    }
}

/// Checks that a plug-in has the required version; `None` requires none.
/// Errors: as [`VersionReq::read`] and [`VersionReq::met_by`].
pub(crate) fn check(plugin: &dyn Plugin, asked: Option<&str>) -> Result<(), String> {
    match asked.map(VersionReq::read).transpose()?.flatten() {
        Some(wanted) => wanted.met_by(plugin),
        None => Ok(()),
    }
}

/// Like [`check`], when a plug-in is about to be used.
/// Errors: `Config`, naming `key`.
pub(crate) fn ensure(plugin: &dyn Plugin, key: &str, asked: Option<&str>) -> Result<(), Error> {
    check(plugin, asked).map_err(|text| {
        let asked = asked.unwrap_or_default();
        Error::config(format!(
            "Invalid value {asked} for configuration {key}: {text}"
        ))
    })
}

impl fmt::Display for VersionReq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A range between two versions; `None` means unbounded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VersionRange {
    low: Option<PluginVersion>,
    with_low: bool,
    high: Option<PluginVersion>,
    with_high: bool,
}

impl VersionRange {
    /// Parses one range with its brackets.
    fn read(text: &str) -> Result<Self, String> {
        let (with_low, with_high) = (text.starts_with('['), text.ends_with(']'));
        let inner = text.get(1..text.len() - 1).unwrap_or_default().trim();
        let Some((low, high)) = inner.split_once(',') else {
            if !(with_low && with_high) {
                return Err(format!("Single version must be surrounded by []: {text}"));
            }
            let version = PluginVersion::new(inner);
            return Ok(Self {
                low: Some(version.clone()),
                with_low,
                high: Some(version),
                with_high,
            });
        };
        let limit = |text: &str| {
            Some(text.trim())
                .filter(|text| !text.is_empty())
                .map(PluginVersion::new)
        };
        let (low, high) = (limit(low), limit(high));
        if let (Some(low), Some(high)) = (&low, &high) {
            let order = low.compare(high);
            if order == Ordering::Greater || (order == Ordering::Equal && !(with_low && with_high))
            {
                return Err(format!("Range defies version ordering: {text}"));
            }
        }
        Ok(Self {
            low,
            with_low,
            high,
            with_high,
        })
    }

    /// True if the range starts before the end of an earlier one.
    fn begins_within(&self, earlier: &Self) -> bool {
        let Some(end) = &earlier.high else {
            return false;
        };
        self.low
            .as_ref()
            .is_none_or(|low| low.compare(end) == Ordering::Less)
    }

    fn contains(&self, version: &PluginVersion) -> bool {
        let above = |low: &PluginVersion| match version.compare(low) {
            Ordering::Less => false,
            Ordering::Equal => self.with_low,
            Ordering::Greater => true,
        };
        let below = |high: &PluginVersion| match version.compare(high) {
            Ordering::Less => true,
            Ordering::Equal => self.with_high,
            Ordering::Greater => false,
        };
        self.low.as_ref().is_none_or(above) && self.high.as_ref().is_none_or(below)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |limit: &Option<PluginVersion>| {
            limit.as_ref().map(ToString::to_string).unwrap_or_default()
        };
        let (open, close) = (
            if self.with_low { '[' } else { '(' },
            if self.with_high { ']' } else { ')' },
        );
        write!(f, "{open}{},{}{close}", text(&self.low), text(&self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::{PluginVersion, VersionReq, check};
    use crate::registry::PluginDescription;

    /// Expected results from Maven 3.9.6: the range as it prints it, and which of the versions it
    /// contains.
    #[test]
    fn ranges_are_read_as_maven_reads_them() {
        const VERSIONS: [&str; 9] = ["0", "1", "1.5", "2", "2.5", "3", "4", "5", "6"];
        for (text, shown, within) in [
            ("1", "[1,1]", "1"),
            (" 1.0 ", "[1.0,1.0]", "1"),
            ("[1,1]", "[1,1]", "1"),
            ("[ 1 ]", "[1,1]", "1"),
            ("[1,2,3]", "[1,2,3]", "1 1.5 2"),
            ("[1,2)", "[1,2)", "1 1.5"),
            ("(1, 2 ]", "(1,2]", "1.5 2"),
            ("(,2)", "(,2)", "0 1 1.5"),
            ("[2.5,)", "[2.5,)", "2.5 3 4 5 6"),
            ("[]", "[,]", "0"),
            ("", "[,]", "0"),
            ("[,]", "[,]", "0 1 1.5 2 2.5 3 4 5 6"),
            ("(,1],[2,)", "(,1],[2,)", "0 1 2 2.5 3 4 5 6"),
            ("[1,2][3,4]", "[1,2],[3,4]", "1 1.5 2 3 4"),
            ("[1,2] , (3,4)", "[1,2],(3,4)", "1 1.5 2"),
            ("[1,2),[2,3]", "[1,2),[2,3]", "1 1.5 2 2.5 3"),
            ("[1,2],", "[1,2]", "1 1.5 2"),
            ("[1,),[5,6]", "[1,),[5,6]", "1 1.5 2 2.5 3 4 5 6"),
        ] {
            let wanted = VersionReq::read(text).unwrap().unwrap();
            let found: Vec<_> = VERSIONS
                .into_iter()
                .filter(|version| {
                    wanted
                        .0
                        .iter()
                        .any(|range| range.contains(&PluginVersion::new(version)))
                })
                .collect();
            assert_eq!(
                (wanted.to_string().as_str(), found.join(" ").as_str()),
                (shown, within),
                "{text}"
            );
        }
        for (text, want) in [
            ("[1", "Unbounded range: [1"),
            (
                "1]",
                "Only fully-qualified sets allowed in multiple set scenario: [1]]",
            ),
            ("(1)", "Single version must be surrounded by []: (1)"),
            ("()", "Single version must be surrounded by []: ()"),
            ("[1,1)", "Range defies version ordering: [1,1)"),
            ("[2,1]", "Range defies version ordering: [2,1]"),
            ("[1,3],[2,4]", "Ranges overlap: [1,3],[2,4]"),
            (
                "[1,2],3",
                "Only fully-qualified sets allowed in multiple set scenario: [1,2],3",
            ),
            ("[1,é", "Unbounded range: [1,é"),
        ] {
            assert_eq!(VersionReq::read(text), Err(want.to_owned()), "{text}");
        }
        assert_eq!(VersionReq::read(" latest "), Ok(None));
    }

    #[test]
    fn an_error_about_a_version_names_the_available_one() {
        let plugin = PluginDescription {
            class: "a.B",
            keys: &[],
            check: |_, _| {},
        };
        let here = env!("CARGO_PKG_VERSION");
        for fine in [
            None,
            Some("latest"),
            Some(here),
            Some("[0.0.1,)"),
            Some("(,9.9)"),
        ] {
            assert_eq!(check(&plugin, fine), Ok(()), "{fine:?}");
        }
        let text = format!(
            "Plugin a.B not found that matches the version range [9.9,9.9], available versions: [{here}]"
        );
        assert_eq!(check(&plugin, Some("9.9")), Err(text));
        assert!(check(&plugin, Some("")).is_err() && check(&plugin, Some("nonsense")).is_err());
    }
}
