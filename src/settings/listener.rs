//! Addresses of the REST listeners, and the name by which others reach this worker. Pure.

use connector_api::{Error, Result};

/// The address of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerAddress {
    /// True for `https`.
    pub tls: bool,
    /// Host name or IP address; empty for all interfaces.
    pub host: String,
    /// Port; 0 lets the system choose one.
    pub port: u16,
}

impl ListenerAddress {
    /// Parses `http://host:port`, `https://:8443`, or a bare `host:port`.
    /// Errors: `Config`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::config(format!(
                "listener {text} {why}: write http://HOST:PORT or https://HOST:PORT"
            ))
        };
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return Err(bad("has a scheme other than http or https")),
            None => (false, text),
        };
        let (host, port) = rest
            .trim_end_matches('/')
            .rsplit_once(':')
            .ok_or_else(|| bad("has no port"))?;
        let port = port
            .parse()
            .map_err(|_| bad("has no port from 0 to 65535"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }

    /// Returns the host and port to bind to.
    pub fn address(&self) -> (&str, u16) {
        (
            if self.host.is_empty() {
                "0.0.0.0"
            } else {
                &self.host
            },
            self.port,
        )
    }

    /// True if only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// True if it listens on all interfaces.
    pub fn is_everywhere(&self) -> bool {
        self.host.is_empty()
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::ListenerAddress;

    #[test]
    fn kafkas_and_bare_forms_are_read() {
        for (text, tls, host, port) in [
            ("http://:8083", false, "", 8083),
            ("HTTPS://example.org:8443/", true, "example.org", 8443),
            ("127.0.0.1:0", false, "127.0.0.1", 0),
            ("http://[::1]:8083", false, "::1", 8083),
        ] {
            assert_eq!(
                ListenerAddress::parse(text).unwrap(),
                ListenerAddress {
                    tls,
                    host: host.to_owned(),
                    port
                },
                "{text}"
            );
        }
        for bad in ["", "8083", "ftp://x:1", "http://x", "http://x:99999"] {
            ListenerAddress::parse(bad).unwrap_err();
        }
        assert!(ListenerAddress::parse("[::1]:1").unwrap().is_loopback());
        assert!(ListenerAddress::parse("http://:1").unwrap().is_everywhere());
    }
}
