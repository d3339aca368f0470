//! Parses connection URLs, JDBC's and the databases' own, into a [`ConnectionTarget`].
//!
//! Pure. It knows which parameters are dangerous, not what a driver does with the others.

mod login;
mod params;
mod sqlite;
mod tls;

use std::fmt;

use connector_api::files::AllowedFiles;
use connector_api::shown::without_passwords;
use connector_api::{Config, ConfigReport, Error, Result};
use percent_encoding::percent_decode_str;

use crate::files;

pub use self::login::LoginKind;
pub use self::params::Role;
pub(crate) use self::params::truth;
pub use self::tls::{ServerKey, TlsMode, TlsOptions};

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseKind {
    /// MariaDB and MySQL.
    MySql,
    Postgres,
    Sqlite,
}

/// The JDBC driver that a URL names; MySQL's and MariaDB's map a few column types differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UrlScheme {
    /// `jdbc:mysql:`, `mysql:`
    MySql,
    /// `jdbc:mariadb:`, `mariadb:`
    MariaDb,
    /// `jdbc:postgresql:`, `postgres:`, `postgresql:`
    Postgres,
    /// `jdbc:sqlite:`, `sqlite:`
    Sqlite,
}

impl UrlScheme {
    /// Returns the kind of database.
    pub fn database(self) -> DatabaseKind {
        match self {
            Self::MySql | Self::MariaDb => DatabaseKind::MySql,
            Self::Postgres => DatabaseKind::Postgres,
            Self::Sqlite => DatabaseKind::Sqlite,
        }
    }
}

/// The server or file to connect to, and the login.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionTarget {
    pub scheme: UrlScheme,
    /// Hosts to try in order; empty for SQLite.
    pub hosts: Vec<(String, u16)>,
    /// The user, from `connection.user` or the URL.
    pub user: Option<String>,
    /// The password, from `connection.password` or the URL.
    pub password: Option<String>,
    /// The database; for SQLite the file.
    pub database: Option<String>,
    /// The URL's parameters, then the `connection.*` keys that are not ours; the latter win.
    pub params: Vec<(String, String)>,
    /// Dangerous parameters that were given and are ignored.
    pub ignored: Vec<String>,
    /// The folders that SQLite files must be in, if restricted.
    pub files: Option<AllowedFiles>,
}

/// Parameters by which a URL could read local files, load classes or run code in Java drivers. They
/// have no effect here; they only cause a warning.
const DANGEROUS: &[&str] = &[
    "allowloadlocalinfile",
    "allowlocalinfile",
    "allowloadlocalinfileinpath",
    "allowurlinlocalinfile",
    "autodeserialize",
    "queryinterceptors",
    "statementinterceptors",
    "exceptioninterceptors",
    "connectionlifecycleinterceptors",
    "authenticationplugins",
    "propertiestransform",
    "socketfactory",
    "socketfactoryarg",
    "authenticationpluginclassname",
    "loggerfile",
    "loggerlevel",
];

/// The port of a PostgreSQL server.
const POSTGRES_PORT: u16 = 5432;

/// `connection.*` keys that are ours, not a driver's.
const OWN_KEYS: &[&str] = &[
    "url",
    "user",
    "username",
    "password",
    "pass",
    "attempts",
    "backoff.ms",
    "timeout.ms",
    "provider",
];

/// Returns the URL parameter that corresponds to a config key. TLS parameters are also accepted with
/// the prefixes of other connectors and in any letter case, because nobody would notice an ignored
/// one.
fn parameter(key: &str) -> Option<&str> {
    if let Some(name) = key.strip_prefix("connection.") {
        // Driver properties may have this prefix before their names.
        let name = name.strip_prefix("properties.").unwrap_or(name);
        let is_own = OWN_KEYS.contains(&name)
            || ["pool.", "restart."]
                .iter()
                .any(|word| name.starts_with(word));
        return (!is_own).then_some(name);
    }
    let (first, rest) = key.split_once('.').unwrap_or(("", key));
    let name = match first.to_ascii_lowercase().as_str() {
        "connection" | "database" => rest,
        "" | "ssl" | "tls" => key,
        _ => return None,
    };
    tls::is_about_tls(name).then_some(name)
}

impl ConnectionTarget {
    /// Parses a config's `connection.*` keys.
    /// Errors: `Config` if the URL is invalid, with the reason. The texts contain no secret.
    pub fn from_config(config: &Config) -> Result<Self> {
        let url = config.get("connection.url").unwrap_or_default();
        let mut target = Self::parse(url)?;
        let first = |names: [&str; 2]| {
            names
                .into_iter()
                .find_map(|n| config.get(n))
                .map(str::to_owned)
        };
        if let Some(user) = first(["connection.user", "connection.username"]) {
            target.user = Some(user);
        }
        if let Some(password) = first(["connection.password", "connection.pass"]) {
            target.password = Some(password);
        }
        for (name, value) in config
            .iter()
            .filter_map(|(key, value)| Some((parameter(key)?, value)))
        {
            target.params.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            target.set_param(name.to_owned(), value.to_owned());
        }
        target.files = files::of(config);
        target.tls()?;
        target.logins()?;
        target.warnings()?;
        target.first_statements()?;
        target.options()?;
        Ok(target)
    }

    /// Like [`Self::from_config`], for a sink.
    /// Errors: also `Config` for a URL that makes sessions read-only.
    pub fn of_sink(config: &Config) -> Result<Self> {
        let target = Self::from_config(config)?;
        params::check_writable(target.scheme, |name| target.param(name).map(str::to_owned))?;
        Ok(target)
    }

    /// Returns the server role that the URL asks for, with the parameter that does.
    pub fn role(&self) -> Result<Option<(Role, &'static str)>> {
        params::role(self.scheme, |name| self.param(name).map(str::to_owned))
    }

    /// Adds warnings about a config's URL to a report. Errors in it are reported by connecting.
    pub(crate) fn report_warnings(config: &Config, report: &mut ConfigReport) {
        let texts = Self::from_config(config)
            .and_then(|target| target.warnings())
            .unwrap_or_default();
        texts
            .into_iter()
            .for_each(|text| report.warn("connection.url", text));
    }

    /// Returns warnings about the parameters: those without effect, and why.
    /// Errors: `Config` for a protective setting that cannot be honoured.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let mut texts = params::warnings(self.scheme, &self.params)?;
        let left_out = self.ignored.iter().map(|name| {
            format!("{name} is ignored: it would let the URL reach beyond the database")
        });
        texts.extend(left_out);
        Ok(texts)
    }

    /// Returns the SQL that sessions begin with.
    /// Errors: `Config` for variables that users must not set.
    pub fn first_statements(&self) -> Result<Vec<String>> {
        params::first_statements(self.scheme, |name| self.param(name).map(str::to_owned))
    }

    /// Returns the settings that PostgreSQL sessions begin with. Errors: see
    /// [`ConnectionTarget::first_statements`].
    pub fn options(&self) -> Result<Vec<(String, String)>> {
        match self.database_kind() {
            DatabaseKind::Postgres => {}
            DatabaseKind::MySql | DatabaseKind::Sqlite => return Ok(Vec::new()),
        }
        let mut settings = params::options(self.param("options").unwrap_or_default())?;
        let path = self
            .param("currentSchema")
            .or_else(|| self.param("search_path"));
        settings.extend(path.map(|path| ("search_path".to_owned(), path.to_owned())));
        Ok(settings)
    }

    /// True if a missing database is created.
    pub fn creates_database(&self) -> bool {
        self.flag("createDatabaseIfNotExist") == Some(true)
    }

    /// True unless MariaDB's YEAR is read as a number.
    pub fn years_are_dates(&self) -> bool {
        self.flag("yearIsDateType") != Some(false)
    }

    /// Returns the truth value of a parameter; one without a value is true, as in the drivers.
    fn flag(&self, name: &str) -> Option<bool> {
        self.param(name).and_then(truth)
    }

    /// Parses a URL.
    pub fn parse(url: &str) -> Result<Self> {
        let url = url.trim();
        let bare = url.strip_prefix("jdbc:").unwrap_or(url);
        let Some((scheme, rest)) = bare.split_once(':') else {
            return Err(Error::config(format!(
                "Not a valid JDBC URL: {}",
                without_passwords(url)
            )));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "mysql" => UrlScheme::MySql,
            "mariadb" => UrlScheme::MariaDb,
            "postgresql" | "postgres" => UrlScheme::Postgres,
            "sqlite" => UrlScheme::Sqlite,
            _ => {
                return Err(Error::config(format!(
                    "No suitable driver found for {}",
                    without_passwords(url)
                )));
            }
        };
        match scheme {
            UrlScheme::MySql | UrlScheme::MariaDb => Self::server(scheme, 3306, rest, url),
            UrlScheme::Postgres => match rest.strip_prefix('/') {
                Some(_) => Self::server(scheme, POSTGRES_PORT, rest, url),
                None => Ok(Self::postgres_here(rest)),
            },
            UrlScheme::Sqlite => sqlite::parse(rest),
        }
    }

    /// Returns an empty target, in place of one that cannot be parsed.
    pub fn nowhere() -> Self {
        Self::empty(UrlScheme::MySql)
    }

    fn empty(scheme: UrlScheme) -> Self {
        Self {
            scheme,
            hosts: Vec::new(),
            user: None,
            password: None,
            database: None,
            params: Vec::new(),
            ignored: Vec::new(),
            files: None,
        }
    }

    /// Parses PostgreSQL's short form, `jdbc:postgresql:database`.
    fn postgres_here(rest: &str) -> Self {
        let mut target = Self::empty(UrlScheme::Postgres);
        let (database, query) = rest.split_once('?').unwrap_or((rest, ""));
        target.database = Some(decode(database)).filter(|d| !d.is_empty());
        target.hosts.push(("localhost".to_owned(), POSTGRES_PORT));
        target.set_query(query);
        target
    }

    /// Parses `//user:password@host:port,…/database?parameters`.
    fn server(scheme: UrlScheme, default_port: u16, rest: &str, url: &str) -> Result<Self> {
        let mut target = Self::empty(scheme);
        let bad = |why: &str| {
            Error::config(format!(
                "connection.url {} is invalid: {why}",
                without_passwords(url)
            ))
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(bad("after the scheme it needs //host:port/database"));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        if database.contains('@') || query.split('&').any(splits_an_account) {
            return Err(bad(
                "an @ follows the host. Write / ? # @ : and % in user and password as %2F %3F %23 \
                 %40 %3A and %25, or set connection.user and connection.password",
            ));
        }
        target.database = Some(decode(database)).filter(|d| !d.is_empty());
        let hosts = match authority.rsplit_once('@') {
            Some((account, hosts)) => {
                target.set_account(account);
                hosts
            }
            None => authority,
        };
        if hosts.contains('(') {
            return Err(bad("write hosts as host:port, several separated by commas"));
        }
        for host in hosts.split(',') {
            let host = host_port(host.trim(), default_port)
                .ok_or_else(|| bad("its port is not a number up to 65535"))?;
            target.hosts.push(host);
        }
        target.set_query(query);
        Ok(target)
    }

    /// Takes `user` or `user:password`.
    fn set_account(&mut self, account: &str) {
        let (user, password) = match account.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (account, None),
        };
        self.user = Some(decode(user));
        self.password = password.map(decode);
    }

    fn set_query(&mut self, query: &str) {
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.set_param(decode(name), decode(value));
        }
    }

    fn set_param(&mut self, name: String, value: String) {
        match name.to_ascii_lowercase().as_str() {
            "user" | "username" if self.user.is_none() => self.user = Some(value),
            "password" if self.password.is_none() => self.password = Some(value),
            "user" | "username" | "password" => {}
            lower if DANGEROUS.contains(&lower) => {
                if !value.eq_ignore_ascii_case("false") && !value.is_empty() {
                    self.ignored.push(name);
                }
            }
            _ => self.params.push((name, value)),
        }
    }

    /// Returns the value of a parameter, in any letter case.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Returns the TLS options of the parameters.
    /// Errors: `Config` for contradictions, and for options that are not supported.
    pub fn tls(&self) -> Result<TlsOptions> {
        TlsOptions::read(self.scheme, &self.params)
    }

    /// Returns the login methods that PostgreSQL may ask for.
    /// Errors: `Config`.
    pub fn logins(&self) -> Result<Vec<LoginKind>> {
        login::methods(self.scheme, &self.params)
    }

    /// Returns the kind of database.
    pub fn database_kind(&self) -> DatabaseKind {
        self.scheme.database()
    }

    /// True if a single bit is a boolean: `transformedBitIsBoolean`, which needs `tinyInt1isBit`.
    pub fn bits_are_booleans(&self) -> bool {
        self.flag("transformedBitIsBoolean") == Some(true)
            && self.flag("tinyInt1isBit") != Some(false)
    }

    /// True if columns map as in MySQL's JDBC driver rather than MariaDB's.
    pub fn maps_as_mysql_driver(&self) -> bool {
        match self.scheme {
            UrlScheme::MySql => true,
            UrlScheme::MariaDb | UrlScheme::Postgres | UrlScheme::Sqlite => false,
        }
    }

    /// Returns where it connects to, without user, password and parameters, for messages.
    pub fn place(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(|(h, p)| format!("{h}:{p}")).collect();
        match (&self.database, hosts.is_empty()) {
            (Some(file), true) => file.clone(),
            (Some(database), false) => format!("{}/{database}", hosts.join(",")),
            (None, _) => hosts.join(","),
        }
    }
}

impl fmt::Debug for ConnectionTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.params.iter().map(|(n, _)| n).collect();
        f.debug_struct("Target")
            .field("scheme", &self.scheme)
            .field("place", &self.place())
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "[hidden]"))
            .field("params", &names)
            .finish()
    }
}

/// True if a parameter is the rest of an account: a password with a `/` or `?` in it would be
/// split, and its parts read as host, port and database.
fn splits_an_account(pair: &str) -> bool {
    pair.split_once('@').is_some_and(|(before, rest)| {
        !before.contains('=') || (!before.contains('/') && rest.contains('/'))
    })
}

fn host_port(text: &str, default: u16) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = rest
            .strip_prefix(':')
            .map_or(Some(default), |p| p.parse().ok())?;
        return Some((host.to_owned(), port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, default),
    };
    Some((
        if host.is_empty() {
            "localhost".to_owned()
        } else {
            host.to_owned()
        },
        port,
    ))
}

/// Decodes percent escapes; a `%` without two hexadecimal digits is kept.
fn decode(text: &str) -> String {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::{ConnectionTarget, UrlScheme};

    #[test]
    fn jdbc_and_native_urls_name_the_same_place() {
        for (url, scheme, place) in [
            (
                "jdbc:mysql://localhost:3307/mydb",
                UrlScheme::MySql,
                "localhost:3307/mydb",
            ),
            (
                "jdbc:mariadb://db/shop?useSSL=false",
                UrlScheme::MariaDb,
                "db:3306/shop",
            ),
            ("mysql://u:p%40ss@h/d", UrlScheme::MySql, "h:3306/d"),
            (
                "jdbc:postgresql://a:1,b/d",
                UrlScheme::Postgres,
                "a:1,b:5432/d",
            ),
            ("jdbc:postgresql:d", UrlScheme::Postgres, "localhost:5432/d"),
            ("postgres://[::1]:5433/d", UrlScheme::Postgres, "::1:5433/d"),
            ("jdbc:sqlite:/var/x.db", UrlScheme::Sqlite, "/var/x.db"),
            ("sqlite:///var/x.db", UrlScheme::Sqlite, "/var/x.db"),
            ("jdbc:mysql://", UrlScheme::MySql, "localhost:3306"),
        ] {
            let target = ConnectionTarget::parse(url).unwrap();
            assert_eq!(
                (target.scheme, target.place().as_str()),
                (scheme, place),
                "{url}"
            );
        }
        assert_eq!(
            ConnectionTarget::parse("mysql://u:p%40ss@h/d")
                .unwrap()
                .password
                .as_deref(),
            Some("p@ss")
        );
        for bad in [
            "",
            "jdbc:oracle:thin:@x",
            "jdbc:mysql:h/d",
            "jdbc:mysql://h:x/d",
            "jdbc:mysql://address=(host=h)/d",
        ] {
            assert!(ConnectionTarget::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_win_over_the_url_and_secrets_stay_hidden() {
        let config = Config::from([
            (
                "connection.url",
                "jdbc:mysql://h/d?user=a&password=geheim&useSSL=true&allowLoadLocalInfile=true",
            ),
            ("connection.user", "b"),
            ("connection.usessl", "false"),
            ("connection.attempts", "9"),
        ]);
        let target = ConnectionTarget::from_config(&config).unwrap();
        assert_eq!(
            (target.user.as_deref(), target.password.as_deref()),
            (Some("b"), Some("geheim"))
        );
        assert_eq!(target.params, [("usessl".to_owned(), "false".to_owned())]);
        assert_eq!(target.ignored, ["allowLoadLocalInfile"]);
        assert!(!format!("{target:?}").contains("geheim"));
        for url in [
            "jdbc:nodb://u:geheim@h/d",
            "jdbc:mysql://u:geheim/x@h:1/d",
            "jdbc:mysql://u:1/geheim@h:1/d",
            "jdbc:mysql://u:1?geheim@h:1/d",
            "jdbc:mysql://u:1?a=geheim@h:1/d",
            "jdbc:mysql:u:geheim@h/d",
        ] {
            let error = ConnectionTarget::parse(url).unwrap_err();
            assert!(!error.message().contains("geheim"), "{error}");
        }
    }
}
