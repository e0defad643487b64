//! Hosts and ports, and the URLs they are found in. What is wrong is said without quoting a URL, which may hold a
//! password.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A URL as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) has_password: bool,
    pub(super) address: HostPort,
    /// After the address: path, query, fragment.
    pub(super) rest: String,
}

/// `scheme://[user[:password]@]host[:port][/...]`; `port` says which one a scheme means when none is written.
pub(super) fn url(text: &str, port: impl Fn(&str) -> Option<u16>) -> Result<Url, String> {
    let (scheme, rest) = text.split_once("://").ok_or("is no URL: it has no ://")?;
    let default = port(scheme).ok_or_else(|| "begins with another protocol than those possible here".to_owned())?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // the last '@': some write theirs plainly into a password
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let address = host_port(host, Some(default))?;
    let has_password = user.is_some_and(|user| user.split_once(':').is_some_and(|(_, password)| !password.is_empty()));
    Ok(Url { scheme: scheme.to_owned(), has_password, address, rest: rest.to_owned() })
}

pub(super) fn http(text: &str) -> Result<HostPort, String> {
    let port = |scheme: &str| match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Ok(url(text, port)?.address)
}

/// `host:port` or `[address]:port`, where a default makes the port optional.
pub(super) fn host_port(text: &str, default: Option<u16>) -> Result<HostPort, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("has a [ without its ]")?;
            (host, rest.strip_prefix(':'))
        }
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(allowed) || (host.contains(':') && !text.starts_with('[')) {
        return Err("has no valid host name or address".to_owned());
    }
    let port = match port {
        None => default.ok_or("has no port")?,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("has no valid port: 1 to 65535")?,
    };
    Ok(HostPort { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form_are_found() {
        let at = |text: &str| url(text, |_| Some(3306)).map(|url| url.address.to_string());
        assert_eq!(at("mysql://db/chat"), Ok("db:3306".to_owned()));
        assert_eq!(at("mysql://u:p@db:3307/chat?x=@y"), Ok("db:3307".to_owned()));
        assert_eq!(at("mysql://u:p@ss:w@db.example"), Ok("db.example:3306".to_owned()));
        assert_eq!(at("redis://[::1]:7000"), Ok("[::1]:7000".to_owned()));
        for wrong in
            ["db:3306", "mysql://", "mysql://db:0", "mysql://db:x", "mysql://[::1", "mysql://::1", "mysql://a b"]
        {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_noticed_and_never_quoted() {
        let parsed = |text: &str| url(text, |_| Some(1));
        assert!(parsed("redis://:geheim@h").unwrap().has_password);
        assert!(!parsed("redis://user@h").unwrap().has_password);
        assert!(!parsed("redis://user:geheim@h:0").unwrap_err().contains("geheim"));
    }
}
