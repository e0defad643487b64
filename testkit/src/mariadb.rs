//! A MariaDB server of the test's own, set up as Debezium wants it (row-based binary log), with every commit on disk.
//!
//! Administration and the checkers' queries go through the `mariadb` command over the server's socket: a check must not
//! depend on the library that the product uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::faults::SmallDisk;
use crate::install::Installed;
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;
use crate::servers::random_name;

/// The user of every database that is created here.
const USER: &str = "chatcluster";

/// A running server on 127.0.0.1. Killed when dropped.
#[derive(Debug)]
pub struct MariaDb {
    process: Supervised,
    port: u16,
    password: String,
    client: PathBuf,
    socket: PathBuf,
    folder: ScratchDir,
}

impl MariaDb {
    pub async fn start(installed: &Installed) -> Result<Self> {
        Self::start_with(installed, &[], ScratchDir::new("mariadb")?).await
    }

    /// `settings` are further server options, e.g. `("innodb-buffer-pool-size", "1G")`. A folder that holds the data of
    /// an earlier run is taken over as it is.
    pub async fn start_with(installed: &Installed, settings: &[(&str, &str)], folder: ScratchDir) -> Result<Self> {
        let data = folder.path().join("data");
        let as_root = rustix::process::geteuid().is_root().then(|| "--user=root".to_owned());
        // a starting server clears its temporary folder of what it takes for leftovers: never one that others use
        let temporary = folder.path().join("tmp");
        std::fs::create_dir_all(&temporary).context("failed to make MariaDB's temporary folder")?;
        if !data.exists() {
            create_data(installed, &data, &temporary, as_root.as_deref()).await?;
        }
        let port = free_port()?;
        let socket = socket_path(folder.path(), port);
        let mut args = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={}", data.display()),
            format!("--tmpdir={}", temporary.display()),
            format!("--socket={}", socket.display()),
            format!("--pid-file={}", folder.path().join("mariadb.pid").display()),
            format!("--port={port}"),
        ];
        args.extend(OPTIONS.iter().map(|option| format!("--{option}")));
        args.extend(as_root);
        args.extend(settings.iter().map(|(key, value)| format!("--{key}={value}")));
        let spec = Spec {
            name: "mariadb".into(),
            program: installed.mariadbd.clone(),
            args,
            env: Vec::new(),
            log: folder.path().join("mariadb.log"),
            ready_within: Duration::from_mins(1),
        };
        let probe: Probe = Arc::new(move || greeting(port).boxed());
        let process = Supervised::start(spec, probe).await?;
        let client = installed.mariadb.clone();
        let server = Self { process, port, password: random_name(24), client, socket, folder };
        let password = &server.password;
        server
            .query(
                "mysql",
                &format!(
                    "CREATE OR REPLACE USER {USER}@'%' IDENTIFIED BY '{password}'; \
                     GRANT ALL ON *.* TO {USER}@'%'"
                ),
            )
            .await?;
        server.create_database("chatcluster").await?;
        Ok(server)
    }

    /// `mysql://chatcluster:password@127.0.0.1:port/chatcluster`
    pub fn url(&self) -> String {
        self.url_of("chatcluster")
    }

    /// An empty database for one test, unless it is there already; answers its URL.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let sql = format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        self.query("mysql", &sql).await?;
        Ok(self.url_of(name))
    }

    pub async fn drop_database(&self, name: &str) -> Result<()> {
        self.query("mysql", &format!("DROP DATABASE IF EXISTS `{name}`")).await.map(drop)
    }

    /// Runs SQL as the administrator; rows of columns as text, `NULL` as the word. For checkers and fault injection.
    pub async fn query(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>> {
        let output = Command::new(&self.client)
            .args(["--no-defaults", "--batch", "--skip-column-names", "--user=root", "--default-character-set=utf8mb4"])
            .arg(format!("--socket={}", self.socket.display()))
            .args(["--execute", sql, database])
            .kill_on_drop(true)
            .output()
            .await
            .context("failed to run the mariadb command")?;
        if !output.status.success() {
            bail!("failed to run SQL: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// Its own disk, if it has one.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.folder.disk()
    }

    fn url_of(&self, database: &str) -> String {
        format!("mysql://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }
}

/// In the data folder, unless that is too deep: the path of a UNIX socket is limited to 107 bytes (unix(7)).
fn socket_path(folder: &Path, port: u16) -> PathBuf {
    let socket = folder.join("mariadb.sock");
    if socket.as_os_str().len() <= 100 {
        return socket;
    }
    std::env::temp_dir().join(format!("chatcluster-mariadb-{port}.sock"))
}

const OPTIONS: [&str; 6] = [
    "bind-address=127.0.0.1",
    "skip-name-resolve",
    // An acknowledged send is durable: what the tests prove must hold in the setting they run in.
    "innodb-flush-log-at-trx-commit=1",
    "max-connections=500",
    "performance-schema=OFF",
    "character-set-server=utf8mb4",
];

/// For [`MariaDb::start_with`]: the binary log as Debezium needs it, as durable as the tables. Each commit then waits for
/// more than one write to disk.
pub const BINARY_LOG: [(&str, &str); 5] = [
    ("log-bin", "binlog"),
    ("sync-binlog", "1"),
    ("binlog-format", "ROW"),
    ("binlog-row-image", "FULL"),
    ("server-id", "1"),
];

async fn create_data(installed: &Installed, data: &Path, temporary: &Path, as_root: Option<&str>) -> Result<()> {
    let output = Command::new(&installed.mariadb_install_db)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        // Root without a password on a socket of its own: works whichever user runs the tests.
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--tmpdir={}", temporary.display()))
        .args(as_root)
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run mariadb-install-db")?;
    if !output.status.success() {
        bail!(
            "mariadb-install-db failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Reads the first packet: three bytes of length, a sequence number, then protocol version 10; 0xff is an error packet.
pub async fn greeting(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("failed to connect to MariaDB")?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.context("failed to read MariaDB's greeting")?;
    match head[4] {
        10 => Ok(()),
        other => bail!("MariaDB's greeting has protocol version {other}, not 10"),
    }
}
