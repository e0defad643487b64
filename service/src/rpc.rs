//! How one service calls another: a channel to core that reconnects by itself, and the token that says who calls.

use std::{str::FromStr, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Channel, Endpoint},
};

use crate::config::Secret;

/// Where core is: one URL, or several separated by commas, among which calls are balanced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreUrl(Vec<String>);

impl FromStr for CoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let urls: Vec<String> =
            text.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
        for url in &urls {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(format!("{url:?} is no http:// or https:// URL"));
            }
            Endpoint::from_shared(url.clone()).map_err(|error| format!("{url:?}: {error}"))?;
        }
        if urls.is_empty() { Err("at least one URL is needed".into()) } else { Ok(Self(urls)) }
    }
}

/// Opens the channel; it connects when first used and again whenever it must. Needs the tokio runtime.
pub fn channel(core: &CoreUrl) -> Result<Channel, tonic::transport::Error> {
    let endpoints = core.0.iter().map(|url| endpoint(url)).collect::<Result<Vec<_>, _>>()?;
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
