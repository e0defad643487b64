//! The files and the command line of the API server.

use std::path::Path;

use anyhow::{Context, Result};

use super::Access;
use crate::certificates::{Authority, signing_key};

/// Who asked for what, of every call once it was answered; bodies are left out. The server's own loops are not of
/// interest.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "omitManagedFields": true,
  "rules": [
    {"level": "None", "users": ["system:apiserver", "system:anonymous"]},
    {"level": "Metadata"}
  ]
}"#;

/// Where the audit log is, within the server's folder.
pub(super) const AUDIT_LOG: &str = "audit.log";

/// Writes what the server reads, and answers its arguments. `users` may do everything.
pub(super) fn write(
    folder: &Path,
    port: u16,
    etcd_port: u16,
    authority: &Authority,
    users: &[&Access],
) -> Result<Vec<String>> {
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path.display().to_string())
    };
    let identity = authority.issue("kube-apiserver")?;
    let (private, public) = signing_key()?;
    let line = |access: &&Access| format!("{},{},{},\"system:masters\"", access.token(), access.user(), access.user());
    let tokens: Vec<String> = users.iter().map(line).collect();
    let options = [
        ("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
        ("bind-address", "127.0.0.1".into()),
        ("advertise-address", "127.0.0.1".into()),
        ("secure-port", port.to_string()),
        ("tls-cert-file", file("tls.crt", &identity.certificate)?),
        ("tls-private-key-file", file("tls.key", &identity.key)?),
        ("client-ca-file", file("ca.crt", &authority.pem())?),
        ("token-auth-file", file("tokens.csv", &tokens.join("\n"))?),
        ("authorization-mode", "RBAC".into()),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".into()),
        ("service-account-signing-key-file", file("service-accounts.key", &private)?),
        ("service-account-key-file", file("service-accounts.pub", &public)?),
        ("service-cluster-ip-range", "10.96.0.0/16".into()),
        // It would refuse every pod: no controller makes the service account `default` of a new namespace.
        ("disable-admission-plugins", "ServiceAccount".into()),
        // It needs etcd 3.4.31, which Debian 12 does not have; left on, even a plain watch from version 0 is an error.
        ("feature-gates", "WatchList=false".into()),
        // It would publish the server's address, which on the loopback is not a valid one.
        ("endpoint-reconciler-type", "none".into()),
        ("audit-policy-file", file("audit-policy.json", AUDIT_POLICY)?),
        ("audit-log-path", folder.join(AUDIT_LOG).display().to_string()),
        // Megabytes. At 100, its default, the log would begin anew in the middle of a test.
        ("audit-log-maxsize", "8192".into()),
    ];
    Ok(options.iter().map(|(option, value)| format!("--{option}={value}")).collect())
}
