//! Addresses of schema registries, as their key holds them.

use percent_encoding::percent_decode_str;

/// Where a schema registry is.
pub(super) struct RegistryAddress {
    pub(super) https: bool,
    host: String,
    port: u16,
    /// Prefix of every request path.
    path: String,
    /// `user:password` from the URL.
    pub(super) user: Option<String>,
}

impl RegistryAddress {
    /// Parses `http(s)://[user:password@]host[:port][/path]`.
    /// Errors: what is wrong, without the password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("an address begins with http:// or https://")?;
        let https = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("an address begins with http:// or https://".to_owned()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(decoded(user)), host),
            None => (None, authority),
        };
        if path.contains('@') {
            return Err(
                "an @ follows the host: write / and @ in user and password as %2F and %40"
                    .to_owned(),
            );
        }
        // Text that is not a port number may be part of a password: do not quote it.
        let port_of = |text: &str| {
            text.parse::<u16>()
                .map_err(|_| "its port is not a number up to 65535".to_owned())
        };
        let (host, port) = match (host.strip_prefix('['), host.rsplit_once(':')) {
            (Some(rest), _) => {
                let (host, port) = rest.split_once(']').ok_or("a [ is not closed")?;
                (host, port.strip_prefix(':').map(port_of).transpose()?)
            }
            (None, Some((host, port))) => (host, Some(port_of(port)?)),
            (None, None) => (host, None),
        };
        if host.is_empty() {
            return Err("an address has no host".to_owned());
        }
        let port = port.unwrap_or(if https { 443 } else { 80 });
        Ok(Self {
            https,
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
            user,
        })
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    /// The URL without user and password: for requests and texts.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.bracketed(), self.port, self.path)
    }
}

/// Percent-decodes a text.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::RegistryAddress;

    #[test]
    fn addresses_are_read_and_shown_without_the_password() {
        for (url, want) in [
            ("http://registry:8081", Ok("http://registry:8081")),
            ("https://me:p%40ss@registry/", Ok("https://registry:443")),
            (
                "http://[::1]:80/apis/ccompat/v7",
                Ok("http://[::1]:80/apis/ccompat/v7"),
            ),
            (
                "registry:8081",
                Err("an address begins with http:// or https://"),
            ),
            ("http://x:y", Err("its port is not a number up to 65535")),
            ("http://", Err("an address has no host")),
        ] {
            let address = RegistryAddress::parse(url);
            let shown = address
                .as_ref()
                .map(RegistryAddress::shown)
                .map_err(String::as_str);
            assert_eq!(shown, want.map(str::to_owned), "{url}");
        }
        assert_eq!(
            RegistryAddress::parse("https://me:p%40ss@registry/")
                .unwrap()
                .user
                .as_deref(),
            Some("me:p@ss")
        );
    }
}
