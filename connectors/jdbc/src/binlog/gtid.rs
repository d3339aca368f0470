//! MariaDB's global transaction ids, and the set that a reader has completed.

use std::collections::BTreeMap;
use std::fmt;

/// One transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gtid {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

/// The last completed transaction of each domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GtidSet(BTreeMap<u32, (u32, u64)>);

impl GtidSet {
    /// Parses `0-1-100,7-2-5`; `None` if that is not such a list.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for item in text.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let mut parts = item.split('-');
            let mut part = || parts.next().and_then(|p| p.parse::<u64>().ok());
            let (domain, server, sequence) = (part()?, part()?, part()?);
            if parts.next().is_some() {
                return None;
            }
            let narrow = |n: u64| u32::try_from(n).ok();
            set.0.insert(narrow(domain)?, (narrow(server)?, sequence));
        }
        Some(set)
    }

    /// Adds a completed transaction.
    pub(crate) fn complete(&mut self, gtid: Gtid) {
        self.0.insert(gtid.domain, (gtid.server, gtid.sequence));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The domains that have completed transactions.
    pub(crate) fn domains(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.keys().copied()
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (domain, (server, sequence))) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{domain}-{server}-{sequence}")?;
        }
        Ok(())
    }
}
