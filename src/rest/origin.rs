//! Refuses requests that web pages send without the user's knowledge. Pure.
//!
//! A page of any site can send requests to addresses that its reader can reach (CSRF), or let its
//! own name point there (DNS rebinding). Requests that a proxy and this worker might interpret
//! differently are refused too.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Version, header};

/// Which requests are accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginRules {
    /// `access.control.allow.origin`: other sites whose pages may call, or `*`.
    pub allow_origin: String,
    /// The accepted host names, besides addresses and localhost: `name`, `.name` or `*.name` for
    /// all its subdomains, `*` for all names. `None` accepts all names.
    pub hosts: Option<Vec<String>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginRefusal {
    /// It comes from a page of another site.
    Page,
    /// It names a host that is not this worker.
    Host,
    /// It does not name a host, or names two: the reason.
    Unclear(&'static str),
}

impl OriginRules {
    /// Returns why a request is refused, if it is.
    pub(crate) fn refuse(&self, request: &Parts) -> Option<OriginRefusal> {
        let host = match host(request) {
            Ok(host) => host,
            Err(unclear) => return Some(OriginRefusal::Unclear(unclear)),
        };
        if let Some(hosts) = &self.hosts
            && !is_local(host, hosts)
        {
            return Some(OriginRefusal::Host);
        }
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
        (!reads && !self.may_change(host, &request.headers)).then_some(OriginRefusal::Page)
    }

    /// True if the page that sends the request, if any, may change something.
    fn may_change(&self, host: &str, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let Ok(origin) = origin.to_str() else {
                return false;
            };
            let allowed = self
                .allow_origin
                .split(',')
                .map(str::trim)
                .any(|o| o == "*" || o == origin);
            let (scheme, site) = origin.split_once("://").unwrap_or(("", origin));
            let usual = if scheme.eq_ignore_ascii_case("https") {
                ":443"
            } else {
                ":80"
            };
            let bare = |site: &str| {
                site.strip_suffix(usual)
                    .unwrap_or(site)
                    .to_ascii_lowercase()
            };
            allowed || (!site.is_empty() && bare(site) == bare(host))
        })
    }
}

/// The host that a request is for, empty if an old client does not name one. Errors: why the host is not clear.
/// Source: RFC 9112, 3.2.
fn host(request: &Parts) -> Result<&str, &'static str> {
    let mut given = request.headers.get_all(header::HOST).iter();
    let named = match (given.next(), given.next()) {
        (_, Some(_)) => return Err("it has more than one Host header"),
        (None, _) if request.version >= Version::HTTP_11 => return Err("it has no Host header"),
        (None, _) => None,
        (Some(host), _) => Some(
            host.to_str()
                .map_err(|_| "its Host header is not a valid name")?
                .trim(),
        ),
    };
    let strange = |host: &str| !is_well_formed(host);
    if named.is_some_and(strange) {
        return Err("its Host header is not a valid name");
    }
    match (request.uri.authority(), named) {
        (None, named) => Ok(named.unwrap_or_default()),
        (Some(target), _) if strange(target.as_str()) => Err("its target is not a valid address"),
        (Some(target), Some(named)) if !target.as_str().eq_ignore_ascii_case(named) => {
            Err("its target and its Host header name different hosts")
        }
        (Some(target), _) => Ok(target.as_str()),
    }
}

/// Parses `name`, `address` or `[address]`, and a port. Different programs interpret other forms
/// differently.
fn is_well_formed(host: &str) -> bool {
    let is_port = |text: &str| {
        let number = text
            .strip_prefix(':')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        text.is_empty() || number.is_some_and(|digits| digits.parse::<u16>().is_ok())
    };
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        return address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port);
    }
    let (name, port) = host
        .find(':')
        .map_or((host, ""), |colon| host.split_at(colon));
    let is_name = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    is_name && !name.is_empty() && name != "." && is_port(port)
}

/// True for an address, localhost, or one of the worker's own names.
fn is_local(host: &str, hosts: &[String]) -> bool {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map(|(address, _)| address);
    let name = bracketed.unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.is_empty()
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok()
        || hosts.iter().any(|known| {
            let known = known.trim().trim_end_matches('.').to_ascii_lowercase();
            let below = known.strip_prefix('*').unwrap_or(&known);
            known == "*" || known == name || (below.starts_with('.') && name.ends_with(below))
        })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Method, Request, Version, header};

    use super::{OriginRefusal, OriginRules};

    fn refuse(
        rules: &OriginRules,
        method: Method,
        host: &str,
        origin: Option<&str>,
    ) -> Option<OriginRefusal> {
        let mut request = Request::builder()
            .method(method)
            .uri("/")
            .header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        rules.refuse(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let rules = OriginRules {
            allow_origin: "https://ui.example".to_owned(),
            hosts: None,
        };
        assert_eq!(refuse(&rules, Method::PUT, "localhost:8083", None), None);
        for (host, origin) in [
            ("localhost:8083", "http://localhost:8083"),
            ("localhost:8083", "https://ui.example"),
            ("W1.example", "http://w1.example:80"),
            ("w1.example:443", "https://w1.example"),
        ] {
            assert_eq!(
                refuse(&rules, Method::PUT, host, Some(origin)),
                None,
                "{origin}"
            );
        }
        for origin in [
            "https://evil.test",
            "http://localhost:3000",
            "null",
            "http://",
            "",
            "https://ui.example.evil.test",
        ] {
            assert_eq!(
                refuse(&rules, Method::POST, "localhost:8083", Some(origin)),
                Some(OriginRefusal::Page),
                "{origin}"
            );
            assert_eq!(
                refuse(&rules, Method::GET, "localhost:8083", Some(origin)),
                None,
                "{origin}"
            );
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(header::HOST, "localhost");
        let headers = request.headers_mut().unwrap();
        headers.append(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        headers.append(
            header::ORIGIN,
            HeaderValue::from_bytes(b"http://\xff").unwrap(),
        );
        assert_eq!(
            rules.refuse(&request.body(()).unwrap().into_parts().0),
            Some(OriginRefusal::Page)
        );
    }

    #[test]
    fn a_worker_answers_to_its_own_names_only() {
        let names = ["w1.example", ".lab.example", "*.k8s.example."];
        let rules = OriginRules {
            hosts: Some(names.map(str::to_owned).to_vec()),
            ..OriginRules::default()
        };
        for host in [
            "localhost:8083",
            "127.0.0.1",
            "10.1.2.3:8083",
            "[::1]:8083",
            "[2001:db8::7]",
            "W1.example:80",
            "w1.example.",
            "a.localhost",
            "a.b.lab.example:1",
            "c.k8s.example",
        ] {
            assert_eq!(refuse(&rules, Method::GET, host, None), None, "{host}");
        }
        for host in [
            "evil.test:8083",
            "w1.example.evil.test",
            "lab.example",
            "evillab.example",
            "127.0.0.1.evil.test",
            "x",
        ] {
            assert_eq!(
                refuse(&rules, Method::GET, host, None),
                Some(OriginRefusal::Host),
                "{host}"
            );
        }
        let any = OriginRules {
            hosts: Some(vec!["*".to_owned()]),
            ..OriginRules::default()
        };
        assert_eq!(refuse(&any, Method::GET, "evil.test", None), None);
    }

    #[test]
    fn a_request_is_for_one_host() {
        let rules = OriginRules {
            hosts: Some(Vec::new()),
            ..OriginRules::default()
        };
        let refuse = |version: Version, target: &str, hosts: &[&[u8]]| {
            let mut request = Request::builder().version(version).uri(target);
            for host in hosts {
                request = request.header(header::HOST, HeaderValue::from_bytes(host).unwrap());
            }
            rules.refuse(&request.body(()).unwrap().into_parts().0)
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(refuse(old, "/", &[]), None);
        assert_eq!(refuse(old, "/", &[b"evil.test"]), Some(OriginRefusal::Host));
        assert_eq!(refuse(new, "http://localhost:1/", &[b"LOCALHOST:1"]), None);
        assert_eq!(
            refuse(new, "http://evil.test/", &[b"evil.test"]),
            Some(OriginRefusal::Host)
        );
        assert_eq!(
            refuse(old, "http://evil.test/", &[]),
            Some(OriginRefusal::Host)
        );
        for (target, hosts) in [
            ("/", &[][..]),
            ("/", &[&b"localhost"[..], b"localhost"]),
            ("/", &[b"localhost", b"evil.test"]),
            ("/", &[b"\xff"]),
            ("/", &[b"a b"]),
            ("/", &[b"evil.test@localhost"]),
            ("/", &[b"localhost/evil"]),
            ("/", &[b""]),
            ("/", &[b" "]),
            ("/", &[b":80"]),
            ("/", &[b"localhost:evil"]),
            ("/", &[b"localhost:99999"]),
            ("/", &[b"localhost:"]),
            ("/", &[b"localhost:80:80"]),
            ("/", &[b"localhost:+80"]),
            ("/", &[b"[::1]evil.test"]),
            ("/", &[b"[::1]:evil"]),
            ("/", &[b"[::1"]),
            ("/", &[b"[evil.test]"]),
            ("/", &[b"::1"]),
            ("/", &[b"local host"]),
            ("/", &[b"evil.test;localhost"]),
            ("http://evil.test/", &[b"localhost"]),
            ("http://localhost/", &[b"evil.test"]),
            ("http://localhost@evil.test/", &[b"localhost@evil.test"]),
        ] {
            let refused = refuse(new, target, hosts);
            assert!(
                matches!(refused, Some(OriginRefusal::Unclear(_))),
                "{target} {hosts:?}: {refused:?}"
            );
        }
    }
}
