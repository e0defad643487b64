//! A certificate authority of the test's own, for servers that speak TLS. Its certificates are good for 127.0.0.1 and
//! localhost unless others are named, and nobody else trusts it.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs what servers and clients show.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM; the key is PKCS#8.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Authority {
    /// A fresh one; no two are alike.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "ChatCluster testkit");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate = params.self_signed(&key).context("failed to make a certificate authority")?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// What a client is to trust, PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What a client is to trust, DER.
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// For a server on this machine, or for a client that calls itself `common_name`.
    pub fn issue(&self, common_name: &str) -> Result<Identity> {
        self.issue_to(common_name, None, &["127.0.0.1", "localhost"].map(str::to_owned))
    }

    /// For a server with these names and addresses, or for a client: Kubernetes takes the common name for the user and
    /// the organisation for its group.
    pub fn issue_to(&self, common_name: &str, organisation: Option<&str>, names: &[String]) -> Result<Identity> {
        let mut params = CertificateParams::new(names).context("failed to name a certificate")?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        if let Some(organisation) = organisation {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("failed to sign a certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Its private key, PEM, for another program that is to sign in its name.
    pub(crate) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

/// The two halves of a key that signs tokens: private, public; PEM.
pub(crate) fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate().context("failed to make a key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}
