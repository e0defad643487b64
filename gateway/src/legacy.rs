//! The environment of the service that user events come from (`REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD`, `PORT`), as
//! settings of the gateway's own. They count for less than a flag, a `CHATCLUSTER_` variable or the file.

use std::fmt::Write;

/// Names of settings and their values.
pub type Settings = Vec<(&'static str, String)>;

/// `variable`: reads the environment.
pub fn settings(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Settings> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let mut settings = Settings::new();
    // Kubernetes tells of a Service named redis in this form; nobody meant us
    let port = set("REDIS_PORT").filter(|value| !value.contains("://"));
    let (host, password) = (set("REDIS_HOST"), set("REDIS_PASSWORD"));
    if host.is_some() || port.is_some() || password.is_some() {
        let port = number("REDIS_PORT", port.as_deref().unwrap_or("6379"))?;
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let login = password.map(|password| format!(":{}@", encoded(&password))).unwrap_or_default();
        settings.push(("redis-url", format!("redis://{login}{host}:{port}")));
    }
    if let Some(port) = set("PORT") {
        // as that service did: on every address
        settings.push(("user-events-listen", format!("0.0.0.0:{}", number("PORT", &port)?)));
    }
    Ok(settings)
}

fn number(name: &str, text: &str) -> anyhow::Result<u16> {
    text.parse().map_err(|_| anyhow::anyhow!("{name}={text} is no port"))
}

/// Percent-encoded, so that a password may have any characters.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // writing into a String does not fail
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environment: &[(&str, &str)]) -> Settings {
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        settings(find).unwrap()
    }

    #[test]
    fn the_old_names_are_understood() {
        assert!(of(&[]).is_empty());
        let all = of(&[("REDIS_HOST", "redis"), ("REDIS_PORT", "6380"), ("REDIS_PASSWORD", "a:b@c"), ("PORT", "8085")]);
        assert_eq!(
            all,
            [
                ("redis-url", "redis://:a%3Ab%40c@redis:6380".to_owned()),
                ("user-events-listen", "0.0.0.0:8085".to_owned())
            ]
        );
        assert_eq!(of(&[("REDIS_PASSWORD", "x")])[0].1, "redis://:x@localhost:6379");
        assert_eq!(of(&[("REDIS_HOST", "::1"), ("REDIS_PASSWORD", "")])[0].1, "redis://[::1]:6379");
    }

    #[test]
    fn what_kubernetes_tells_of_a_service_named_redis_is_not_for_us() {
        assert!(of(&[("REDIS_PORT", "tcp://10.0.0.1:6379")]).is_empty());
        assert!(settings(|name| (name == "PORT").then(|| "http".to_owned())).is_err());
    }
}
