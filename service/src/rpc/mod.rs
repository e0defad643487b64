//! How one service calls another: a channel to core that reconnects by itself, and the token that says who calls.

mod resolver;

use std::{str::FromStr, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Channel, Endpoint},
};

use crate::config::Secret;

/// Where core is: one URL, or several separated by commas, or a name (`dns:///host:port`, as gRPC writes it) whose every
/// address is a core. Calls are balanced among them; those behind a name may come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreUrl {
    Urls(Vec<String>),
    /// `host:port`, looked up again and again.
    Name(String),
}

impl FromStr for CoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.trim().strip_prefix("dns:") {
            let name = name.strip_prefix("///").unwrap_or(name);
            return match name.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                    Ok(Self::Name(name.to_owned()))
                }
                _ => Err(format!("{text:?} is not of the form dns:///host:port")),
            };
        }
        let urls: Vec<String> =
            text.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
        for url in &urls {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(format!("{url:?} is no http:// or https:// URL"));
            }
            Endpoint::from_shared(url.clone()).map_err(|error| format!("{url:?}: {error}"))?;
        }
        if urls.is_empty() { Err("at least one URL is needed".into()) } else { Ok(Self::Urls(urls)) }
    }
}

/// Opens the channel; it connects when first used and again whenever it must. Needs the tokio runtime.
pub fn channel(core: &CoreUrl) -> Result<Channel, tonic::transport::Error> {
    let urls = match core {
        CoreUrl::Urls(urls) => urls,
        CoreUrl::Name(name) => return Ok(resolver::channel(name.clone())),
    };
    let endpoints = urls.iter().map(|url| endpoint(url)).collect::<Result<Vec<_>, _>>()?;
    match &endpoints[..] {
        [one] => Ok(one.connect_lazy()),
        several => Ok(Channel::balance_list(several.iter().cloned())),
    }
}

fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // a peer that vanished without a word is noticed within seconds, not at the end of TCP's patience
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true))
}

/// Puts the service token on every call.
#[derive(Clone)]
pub struct ServiceToken(MetadataValue<Ascii>);

impl std::fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceToken(***)")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the service token has characters that cannot stand in a header")]
pub struct InvalidServiceToken;

impl ServiceToken {
    pub fn new(token: &Secret) -> Result<Self, InvalidServiceToken> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", token.expose()).parse().map_err(|_| InvalidServiceToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for ServiceToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_are_told_apart_and_wrong_ones_named() {
        let urls = |list: &[&str]| Ok(CoreUrl::Urls(list.iter().map(|&url| url.to_owned()).collect()));
        assert_eq!("http://a:1, http://b:2".parse(), urls(&["http://a:1", "http://b:2"]));
        assert_eq!("dns:///core.demo.svc:9090".parse(), Ok(CoreUrl::Name("core.demo.svc:9090".into())));
        assert_eq!("dns:core:9090".parse(), Ok(CoreUrl::Name("core:9090".into())));
        for wrong in ["", "core:9090", "dns:///core", "dns:///:9090", "dns://1.1.1.1/core:9090", "dns:///core:port"] {
            assert!(wrong.parse::<CoreUrl>().is_err(), "{wrong}");
        }
    }
}
