//! Kafka Connect with Debezium's connector for MariaDB in one process, set up by the example that users are given: what
//! the built-in relay is compared with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;

use crate::condition::await_condition;
use crate::install::{self, Progress};
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;
use crate::servers::{Namespace, Servers, random_name};

const EXAMPLE: &str = include_str!("../../examples/debezium/outbox.properties");
/// What it may do: nothing but read the log and this one table.
const USER: &str = "debezium";
/// A JVM that looks at all connectors of its class path before it works.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// The connector says so in its log when it has come to the end of the binary log.
const STREAMS: &str = "Connected to binlog at";

/// A connector that reads one outbox. Killed when dropped.
#[derive(Debug)]
pub struct OutboxConnector {
    process: Supervised,
    _folder: ScratchDir,
}

impl OutboxConnector {
    /// Reads the outbox of `on` and waits until it follows the binary log, which `servers` must write. `changes` are
    /// settings that win over those of the example.
    pub async fn start(
        servers: &Servers,
        on: &Namespace,
        changes: &[(&str, &str)],
        progress: Progress,
    ) -> Result<Self> {
        let (connect, connector) = install::connect_ready(progress).await?;
        let folder = ScratchDir::new("connect")?;
        let password = random_name(24);
        let database = &on.database_name;
        let grants = format!(
            "CREATE OR REPLACE USER {USER}@'%' IDENTIFIED BY '{password}'; \
             GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {USER}@'%'; \
             GRANT SELECT ON `{database}`.message_producer_outbox TO {USER}@'%'"
        );
        servers.mariadb.query("mysql", &grants).await?;

        // the plugin path is a folder of folders
        let plugins = folder.path().join("plugins");
        std::fs::create_dir_all(&plugins).context("failed to make the plugin path")?;
        std::os::unix::fs::symlink(&connector.folder, plugins.join("debezium"))
            .context("failed to link the connector")?;
        let port = free_port()?;
        let worker = folder.path().join("worker.properties");
        std::fs::write(&worker, worker_properties(&on.kafka_bootstrap_servers, port, folder.path(), &plugins))?;
        let outbox = folder.path().join("outbox.properties");
        let values = [
            ("DATABASE_HOST", "127.0.0.1".to_owned()),
            ("DATABASE_PORT", servers.mariadb.port().to_string()),
            ("DATABASE_USER", USER.to_owned()),
            ("DATABASE_PASSWORD", password),
            ("DATABASE_SSL_MODE", "disable".to_owned()),
            ("DATABASE", database.clone()),
            ("STATE_FOLDER", folder.path().display().to_string()),
        ];
        std::fs::write(&outbox, fill_in(EXAMPLE, &values, changes))?;

        let main = "org.apache.kafka.connect.cli.ConnectStandalone";
        let log = folder.path().join("connect.log");
        let spec = Spec {
            name: "connect".into(),
            program: connect.java.clone(),
            args: [
                "-Xmx256m",
                "-cp",
                &connect.class_path(),
                main,
                &worker.display().to_string(),
                &outbox.display().to_string(),
            ]
            .map(str::to_owned)
            .into(),
            env: Vec::new(),
            log: log.clone(),
            ready_within: READY_WITHIN,
        };
        let probe: Probe = Arc::new(move || is_running(port).boxed());
        let process = Supervised::start(spec, probe).await?;
        let streams = || async {
            let said = std::fs::read_to_string(&log).context("no log")?;
            ensure!(said.contains(STREAMS), "it does not follow the binary log yet");
            Ok(())
        };
        await_condition("Debezium follows the binary log", READY_WITHIN, streams).await?;
        Ok(Self { process, _folder: folder })
    }

    /// For stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.process
    }
}

fn worker_properties(kafka: &str, port: u16, folder: &Path, plugins: &Path) -> String {
    let string = "org.apache.kafka.connect.storage.StringConverter";
    format!(
        "bootstrap.servers={kafka}\nkey.converter={string}\nvalue.converter={string}\n\
         offset.storage.file.filename={}\noffset.flush.interval.ms=1000\nplugin.path={}\n\
         plugin.discovery=service_load\nlisteners=http://127.0.0.1:{port}\n",
        folder.join("connect.offsets").display(),
        plugins.display()
    )
}

/// Later lines win in a file of properties.
fn fill_in(example: &str, values: &[(&str, String)], changes: &[(&str, &str)]) -> String {
    let filled =
        values.iter().fold(example.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    changes.iter().fold(filled, |text, (key, value)| format!("{text}\n{key}={value}"))
}

async fn is_running(port: u16) -> Result<()> {
    let url = format!("http://127.0.0.1:{port}/connectors/chatcluster-outbox/status");
    let status: serde_json::Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    match status["tasks"][0]["state"].as_str() {
        Some("RUNNING") => Ok(()),
        Some("FAILED") => bail!("the connector failed: {}", status["tasks"][0]["trace"]),
        state => bail!("the connector's task is {state:?}"),
    }
}
