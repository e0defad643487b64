//! How each binary of the platform is started. Every setting goes through the environment, as it does in Kubernetes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use tokio::process::Command;

use super::Binaries;
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised, developers_settings};
use crate::servers::Namespace;

/// A debug build on two loaded cores, with a migration of the database.
const READY_WITHIN: Duration = Duration::from_mins(1);

type Env = Vec<(String, String)>;
/// The start of a process's name, and a setting for it.
pub(super) type EnvOf = (String, (String, String));

/// A detour, e.g. through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// The start of the name of the processes that take it.
    pub(super) of: String,
    pub(super) from: u16,
    pub(super) to: u16,
}

/// What all processes of one deployment have in common.
#[derive(Debug)]
pub(super) struct Common<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) logs: &'a Path,
    pub(super) service_token: &'a str,
    /// The caller's settings; they win.
    pub(super) env: &'a [(String, String)],
    pub(super) env_of: &'a [EnvOf],
    pub(super) ways: &'a [Way],
}

/// A core and where it answers.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) process: Supervised,
    pub(super) rest: String,
    pub(super) grpc: String,
}

/// All cores: calls are balanced among those that live.
fn grpc_urls(cores: &[Core]) -> String {
    cores.iter().map(|core| core.grpc.as_str()).collect::<Vec<_>>().join(",")
}

impl Common<'_> {
    /// All of `chatcluster run` on one port; answers the process and its address.
    pub(super) async fn embedded(&self, data: &Path) -> Result<(Supervised, String)> {
        let listen = address()?;
        let args = ["run", "--listen", &listen, "--data-dir", &data.display().to_string()].map(str::to_owned).into();
        let env = settings(&[("CHATCLUSTER_LISTEN", &listen), ("CHATCLUSTER_DATA_DIR", &data.display().to_string())]);
        let process = self.start("chatcluster", "chatcluster", args, env, &listen).await?;
        Ok((process, listen))
    }

    pub(super) async fn core(&self, name: &str, on: &Namespace) -> Result<Core> {
        let (listen, grpc) = (address()?, address()?);
        let mut env = servers(on);
        // one folder for all cores: they sign with the same key, which the first of them makes
        let data = self.logs.join("core");
        env.extend(settings(&[
            ("CHATCLUSTER_GRPC_LISTEN", &grpc),
            ("CHATCLUSTER_DATA_DIR", &data.display().to_string()),
        ]));
        let process = self.start(name, "chatcluster-core", Vec::new(), env, &listen).await?;
        Ok(Core { process, rest: format!("http://{listen}"), grpc: format!("http://{grpc}") })
    }

    pub(super) async fn worker(&self, name: &str, on: &Namespace, cores: &[Core]) -> Result<Supervised> {
        let worker = self.spare_worker(name, on, cores)?;
        worker.start_again().await?;
        Ok(worker)
    }

    /// A worker that is not started.
    pub(super) fn spare_worker(&self, name: &str, on: &Namespace, cores: &[Core]) -> Result<Supervised> {
        let mut env = servers(on);
        env.extend(settings(&[("CHATCLUSTER_CORE_URL", &grpc_urls(cores))]));
        self.prepare(name, "chatcluster-worker", Vec::new(), env, &address()?)
    }

    /// Answers the process and its address.
    pub(super) async fn gateway(&self, name: &str, on: &Namespace, cores: &[Core]) -> Result<(Supervised, String)> {
        let listen = address()?;
        let mut env = servers(on);
        let jwks: Vec<String> = cores.iter().map(|core| format!("{}/.well-known/jwks.json", core.rest)).collect();
        env.extend(settings(&[
            ("CHATCLUSTER_CORE_URL", &grpc_urls(cores)),
            ("CHATCLUSTER_JWKS", &jwks.join(",")),
            // by default one port for all, and several gateways share this machine
            ("CHATCLUSTER_USER_EVENTS_LISTEN", ""),
        ]));
        Ok((self.start(name, "chatcluster-gateway", Vec::new(), env, &listen).await?, listen))
    }

    /// Creates the topics of `on`; what the operator does in Kubernetes.
    pub(super) async fn apply_topics(&self, on: &Namespace) -> Result<()> {
        let mut command = Command::new(self.binaries.path("chatcluster")?);
        for key in developers_settings() {
            command.env_remove(key);
        }
        let output = command
            .args(["topics", "apply", "--kafka-bootstrap-servers", &on.kafka_bootstrap_servers])
            .args(["--kafka-prefix", &on.kafka_prefix])
            .kill_on_drop(true)
            .output()
            .await
            .context("failed to run chatcluster topics apply")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "failed to create the topics: {}", said.trim());
        Ok(())
    }

    async fn start(&self, name: &str, binary: &str, args: Vec<String>, env: Env, listen: &str) -> Result<Supervised> {
        let process = self.prepare(name, binary, args, env, listen)?;
        process.start_again().await?;
        Ok(process)
    }

    fn prepare(&self, name: &str, binary: &str, args: Vec<String>, mut env: Env, listen: &str) -> Result<Supervised> {
        env.extend(settings(&[
            ("CHATCLUSTER_LISTEN", listen),
            ("CHATCLUSTER_NODE", name),
            ("CHATCLUSTER_SERVICE_TOKEN", self.service_token),
            ("CHATCLUSTER_LOG_FORMAT", "json"),
        ]));
        env.extend(self.env.iter().cloned());
        env.extend(self.env_of.iter().filter(|(of, _)| name.starts_with(of)).map(|(_, setting)| setting.clone()));
        for way in self.ways.iter().filter(|way| name.starts_with(&way.of)) {
            for (_, value) in &mut env {
                *value = redirect(value, way);
            }
        }
        let program = self.binaries.path(binary)?;
        let log = self.logs.join(format!("{name}.log"));
        let spec = Spec { name: name.to_owned(), program, args, env, log, ready_within: READY_WITHIN };
        Ok(Supervised::stopped(spec, readyz(listen)?))
    }
}

/// The text with the one port of 127.0.0.1 in the place of the other.
fn redirect(text: &str, way: &Way) -> String {
    let (from, to) = (format!("127.0.0.1:{}", way.from), format!("127.0.0.1:{}", way.to));
    let mut parts = text.split(from.as_str());
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // a longer number is another port
        made.push_str(if part.starts_with(|next: char| next.is_ascii_digit()) { &from } else { &to });
        made.push_str(part);
    }
    made
}

fn address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

fn settings(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn servers(on: &Namespace) -> Env {
    settings(&[
        ("CHATCLUSTER_DATABASE_URL", &on.database_url),
        ("CHATCLUSTER_KAFKA_BOOTSTRAP_SERVERS", &on.kafka_bootstrap_servers),
        ("CHATCLUSTER_KAFKA_PREFIX", &on.kafka_prefix),
        ("CHATCLUSTER_REDIS_URL", &on.redis_url),
        ("CHATCLUSTER_REDIS_PREFIX", &on.redis_prefix),
    ])
}

fn readyz(listen: &str) -> Result<Probe> {
    let url = format!("http://{listen}/readyz");
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
    let http = http.context("failed to build a client")?;
    Ok(Arc::new(move || {
        let request = http.get(&url);
        async move {
            let response = request.send().await.context("failed to ask /readyz")?;
            let status = response.status();
            let body = response.text().await.unwrap_or_default();
            ensure!(status.is_success(), "/readyz answered {status}: {body}");
            Ok(())
        }
        .boxed()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detour_changes_its_port_and_no_other() {
        let way = Way { of: "gateway-1".into(), from: 808, to: 9 };
        let text = "http://127.0.0.1:808,http://127.0.0.1:8081,redis://127.0.0.1:808/0,127.0.0.1:808";
        let expected = "http://127.0.0.1:9,http://127.0.0.1:8081,redis://127.0.0.1:9/0,127.0.0.1:9";
        assert_eq!(redirect(text, &way), expected);
    }
}
