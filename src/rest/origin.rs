//! Requests that a web page makes behind its reader's back: refused. Pure.
//!
//! A page of any site may send requests to a loopback address (CSRF), or make its own name point there (DNS rebinding).

use axum::http::{HeaderMap, Method, header};

/// Which requests are taken.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `access.control.allow.origin`: other sites whose pages may call, or `*`.
    pub allow_origin: String,
    /// The host names a request may name, besides addresses and localhost; `None` takes every name.
    pub hosts: Option<Vec<String>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It comes from a page of another site.
    Page,
    /// It names a host that this worker is not.
    Host,
}

impl Rules {
    /// Whether a request is refused.
    pub fn refuse(&self, method: &Method, headers: &HeaderMap) -> Option<Foreign> {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if let Some(hosts) = &self.hosts
            && !is_local(host, hosts)
        {
            return Some(Foreign::Host);
        }
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return None;
        }
        let origin = text(header::ORIGIN)?;
        let site = origin.split_once("://").map_or(origin, |(_, site)| site);
        let allowed = self.allow_origin.split(',').map(str::trim).any(|o| o == "*" || o == origin);
        (site != host && !allowed).then_some(Foreign::Page)
    }
}

/// An address, localhost, or one of the worker's own names.
fn is_local(host: &str, hosts: &[String]) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let name = bracketed.unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let name = name.to_ascii_lowercase();
    name.is_empty()
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok()
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Method, header};

    use super::{Foreign, Rules};

    fn refuse(rules: &Rules, method: Method, host: &str, origin: Option<&str>) -> Option<Foreign> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        rules.refuse(&method, &headers)
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let rules = Rules { allow_origin: "https://ui.example".to_owned(), hosts: None };
        assert_eq!(refuse(&rules, Method::PUT, "localhost:8083", None), None);
        assert_eq!(refuse(&rules, Method::PUT, "localhost:8083", Some("http://localhost:8083")), None);
        assert_eq!(refuse(&rules, Method::PUT, "localhost:8083", Some("https://ui.example")), None);
        for origin in ["https://evil.test", "http://localhost:3000", "null"] {
            assert_eq!(refuse(&rules, Method::POST, "localhost:8083", Some(origin)), Some(Foreign::Page), "{origin}");
            assert_eq!(refuse(&rules, Method::GET, "localhost:8083", Some(origin)), None, "{origin}");
        }
    }

    #[test]
    fn a_loopback_worker_answers_to_its_own_names_only() {
        let rules = Rules { hosts: Some(vec!["w1.example".to_owned()]), ..Rules::default() };
        for host in ["localhost:8083", "127.0.0.1", "[::1]:8083", "W1.example:80", "a.localhost"] {
            assert_eq!(refuse(&rules, Method::GET, host, None), None, "{host}");
        }
        assert_eq!(refuse(&rules, Method::GET, "evil.test:8083", None), Some(Foreign::Host));
    }
}
