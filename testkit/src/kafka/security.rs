//! A broker that asks who you are: a listener with SASL (SCRAM-SHA-512 and PLAIN) over TLS, and ACLs. The open listener
//! stays; whoever comes there is `User:ANONYMOUS`, who may do everything, so a test looks and grants through it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::certificates::Authority;
use crate::ports::free_port;

/// Somebody who may log in, by either mechanism. What they may do then is a matter of ACLs: at first nothing.
#[derive(Clone)]
pub struct KafkaUser {
    pub name: String,
    /// Letters and digits.
    pub password: String,
}

impl std::fmt::Debug for KafkaUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaUser").field("name", &self.name).finish_non_exhaustive()
    }
}

impl KafkaUser {
    /// With a random password.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), password: crate::servers::random_name(20) }
    }
}

/// The secured listener of one broker.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) port: u16,
    pub(super) authority: Authority,
    users: Vec<KafkaUser>,
    key_store: PathBuf,
    /// What clients trust, as a file, since most configurations want one.
    pub(super) authority_file: PathBuf,
}

impl Secured {
    pub(super) fn prepare(users: &[KafkaUser], folder: &Path) -> Result<Self> {
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        for user in users {
            ensure!(plain(&user.name) && plain(&user.password), "{}: letters, digits and minus only", user.name);
        }
        let authority = Authority::new()?;
        let identity = authority.issue("kafka")?;
        let key_store = folder.join("kafka.pem");
        std::fs::write(&key_store, identity.key + &identity.certificate).context("failed to write the key store")?;
        let authority_file = folder.join("ca.pem");
        std::fs::write(&authority_file, authority.pem()).context("failed to write the authority")?;
        Ok(Self { port: free_port()?, authority, users: users.to_vec(), key_store, authority_file })
    }

    pub(super) fn properties(&self) -> Vec<String> {
        let users: Vec<String> =
            self.users.iter().map(|user| format!("user_{}=\"{}\"", user.name, user.password)).collect();
        vec![
            "listener.name.secured.ssl.keystore.type=PEM".into(),
            format!("listener.name.secured.ssl.keystore.location={}", self.key_store.display()),
            "listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN".into(),
            "listener.name.secured.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .into(),
            format!(
                "listener.name.secured.plain.sasl.jaas.config=\
                 org.apache.kafka.common.security.plain.PlainLoginModule required {};",
                users.join(" ")
            ),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".into(),
            "super.users=User:ANONYMOUS".into(),
            "allow.everyone.if.no.acl.found=false".into(),
        ]
    }

    /// SCRAM's users are in Kafka's own metadata, and the first ones are written when its folder is formatted.
    pub(super) fn format_options(&self) -> Vec<String> {
        let option = |user: &KafkaUser| {
            let credentials = format!("SCRAM-SHA-512=[name={},password={}]", user.name, user.password);
            ["--add-scram".to_owned(), credentials]
        };
        self.users.iter().flat_map(option).collect()
    }
}
