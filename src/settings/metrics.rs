//! The keys `metrics.*`.

use connector_api::{ConfigReader, Error, Result};

use super::{ListenerAddress, count};
use crate::metrics::Spelling;

/// What `/metrics` shows, and where besides the REST listeners.
#[derive(Clone, Debug)]
pub struct MetricsSettings {
    /// `metrics.listener`.
    pub listener: Option<ListenerAddress>,
    /// `metrics.spellings`.
    pub(crate) spellings: Vec<Spelling>,
    /// `metrics.tables.max`.
    pub tables_max: usize,
}

impl MetricsSettings {
    /// Reads the keys. Errors: `Config`.
    pub(super) fn read(r: &mut ConfigReader<'_>) -> Result<Self> {
        let listener = r.text_opt("metrics.listener").filter(|it| !it.is_empty());
        let spelling = |name: &String| {
            Spelling::parse(name).ok_or_else(|| {
                let known = Spelling::ALL.map(Spelling::name).join(", ");
                Error::config(format!(
                    "metrics.spellings: {name} is unknown; choose from {known}"
                ))
            })
        };
        let spellings = r.list("metrics.spellings");
        Ok(Self {
            listener: listener.as_deref().map(address).transpose()?,
            spellings: spellings.iter().map(spelling).collect::<Result<_>>()?,
            tables_max: count(r.unsigned("metrics.tables.max")),
        })
    }

    /// Returns a warning if others can read the metrics without credentials.
    pub(super) fn warning(&self) -> Option<String> {
        let listener = self.listener.as_ref().filter(|it| !it.is_loopback())?;
        let (host, port) = listener.address();
        Some(format!(
            "metrics.listener: everybody who can reach {host}:{port} can read the names and figures of all connectors"
        ))
    }
}

/// Parses the listener's address; a bare port is one on loopback. Errors: `Config`.
fn address(text: &str) -> Result<ListenerAddress> {
    let text = text.trim();
    let listener = match text.parse::<u16>() {
        Ok(port) => ListenerAddress {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port,
        },
        Err(_) => ListenerAddress::parse(text).map_err(|e| e.context("metrics.listener"))?,
    };
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_bare_port_is_on_loopback() {
        let listener = address(" 9404 ").unwrap();
        assert!(listener.is_loopback() && !listener.tls && listener.port == 9404);
        assert!(!address("http://0.0.0.0:9404").unwrap().is_loopback());
        assert!(address("https://:9404").unwrap().tls);
        let error = address("nonsense").unwrap_err().to_string();
        assert!(error.starts_with("metrics.listener"), "{error}");
    }
}
