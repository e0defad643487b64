//! How pods and operator reach Kafka, and what is on it.

use std::{collections::BTreeSet, time::Duration};

use chatcluster_contracts::topics::Names;
use chatcluster_kafka_admin::{ConnectionOptions, Mechanism, Password, Sasl, Security};

use super::{
    HostPort, Invalid, UsedBy, address,
    secret_use::{SecretUse, Wanted, pem},
    topics,
};
use crate::{
    crd::{ChatClusterSpec, KafkaSpec, SaslMechanism, SecretKeyRef, SecretRef},
    kafka::{DeclaredTopic, declare},
    secrets::{PASSWORD, USERNAME},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    pub brokers: Vec<HostPort>,
    pub prefix: String,
    /// Names of its topics and consumer groups.
    pub names: Names,
    /// Every topic that there should be, those of dead letters too.
    pub topics: Vec<DeclaredTopic>,
    pub replication_factor: u16,
    pub allow_partition_growth: bool,
    pub tls: bool,
    pub ca: Option<SecretKeyRef>,
    /// Mechanism, and the name of the Secret with user name and password.
    pub login: Option<(SaslMechanism, String)>,
    /// For the operator itself. `None`: a Secret is missing.
    pub connection: Option<KafkaConnection>,
}

/// Equal connections can share a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KafkaConnection {
    pub bootstrap_servers: String,
    pub security: Security,
    pub sasl: Option<Sasl>,
}

impl KafkaConnection {
    pub fn options(&self, timeout: Duration) -> ConnectionOptions {
        let Self { bootstrap_servers, security, sasl } = self.clone();
        ConnectionOptions { bootstrap_servers, security, sasl, timeout }
    }
}

impl Kafka {
    /// Each broker that is named, `host:port`.
    pub fn servers(&self) -> Vec<String> {
        self.brokers.iter().map(ToString::to_string).collect()
    }

    pub fn bootstrap_servers(&self) -> String {
        self.brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// As librdkafka calls it.
    pub const fn security_protocol(&self) -> &'static str {
        match (self.tls, self.login.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        }
    }
}

/// The brokers and topics that a spec names, whatever else is wrong with it. `None`: not even these can be read.
pub fn claimed_topics(spec: &ChatClusterSpec) -> Option<(Vec<String>, BTreeSet<String>)> {
    let names = topics::names(&spec.kafka).ok()?;
    let settings = topics::settings(&spec.kafka).ok()?;
    let topics = declare(&names, u32::from(spec.kafka.replication_factor), &settings);
    let servers = spec.kafka.bootstrap_servers.split(',').map(|broker| broker.trim().to_owned());
    Some((servers.collect(), topics.into_iter().map(|topic| topic.name).collect()))
}

pub(super) fn kafka(spec: &KafkaSpec, used: &mut SecretUse<'_>) -> Result<Kafka, Invalid> {
    let brokers = spec.bootstrap_servers.split(',').map(|broker| address::host_port(broker.trim(), None));
    let brokers = brokers.collect::<Result<Vec<_>, _>>().map_err(|reason| {
        let reason = format!("{:?} {reason}; write host:port, separated by commas", spec.bootstrap_servers);
        Invalid::new("spec.kafka.bootstrapServers", reason)
    })?;
    if !(1..=9).contains(&spec.replication_factor) {
        return Err(Invalid::new("spec.kafka.replicationFactor", "must be from 1 to 9"));
    }
    let names = topics::names(spec)?;
    let topics = declare(&names, u32::from(spec.replication_factor), &topics::settings(spec)?);
    topics::all_different(&topics)?;

    let security = security(spec, used)?;
    let sasl = spec.credentials_secret_ref.as_ref().map(|secret| sasl(spec, secret, used)).transpose()?;
    let mut kafka = Kafka {
        brokers,
        prefix: spec.prefix.clone(),
        names,
        topics,
        replication_factor: spec.replication_factor,
        allow_partition_growth: spec.allow_partition_growth,
        tls: spec.tls.is_some(),
        ca: spec.tls.as_ref().and_then(|tls| tls.ca_secret_ref.clone()),
        login: spec.credentials_secret_ref.as_ref().map(|secret| (spec.sasl_mechanism, secret.name.clone())),
        connection: None,
    };
    // a login that is wanted and not there makes no connection
    let can_log_in = !matches!(sasl, Some(None));
    kafka.connection = security.filter(|_| can_log_in).map(|security| KafkaConnection {
        bootstrap_servers: kafka.bootstrap_servers(),
        security,
        sasl: sasl.flatten(),
    });
    Ok(kafka)
}

/// `None`: a Secret is missing.
fn security(spec: &KafkaSpec, used: &mut SecretUse<'_>) -> Result<Option<Security>, Invalid> {
    let Some(tls) = &spec.tls else { return Ok(Some(Security::Plaintext)) };
    let Some(reference) = &tls.ca_secret_ref else { return Ok(Some(Security::Tls { ca_pem: None })) };
    let wanted = Wanted::new(UsedBy::Kafka, "spec.kafka.tls.caSecretRef");
    let pem = used.value(&wanted, reference, pem("CERTIFICATE"))?;
    Ok(pem.map(|pem| Security::Tls { ca_pem: Some(pem) }))
}

/// `None`: a Secret is missing.
fn sasl(spec: &KafkaSpec, secret: &SecretRef, used: &mut SecretUse<'_>) -> Result<Option<Sasl>, Invalid> {
    let wanted = Wanted { verbatim: true, ..Wanted::new(UsedBy::Kafka, "spec.kafka.credentialsSecretRef") };
    let key = |key: &str| SecretKeyRef { name: secret.name.clone(), key: key.to_owned() };
    let username = used.value(&wanted, &key(USERNAME), |text| Ok(text.to_owned()))?;
    let password = used.value(&wanted, &key(PASSWORD), |text| Ok(Password::from(text)))?;
    let mechanism = match spec.sasl_mechanism {
        SaslMechanism::Plain => Mechanism::Plain,
        SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
        SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
    };
    Ok(username.zip(password).map(|(username, password)| Sasl { mechanism, username, password }))
}
