//! Free TCP ports on the loopback address that stay ours for the life of this process, also while the server that
//! uses them is down: a restart must find its port again.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use rand::RngExt;

/// Below Linux's ephemeral range (32768 and up), so that no outgoing connection can sit on the port of a server that
/// is being restarted.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// Locks held until the process ends: parallel test binaries must not be given the same port.
static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port on 127.0.0.1 that nobody listens on and that no other testkit process was given.
pub fn free_port() -> Result<u16> {
    // A folder for each user, as one user's locks cannot be opened by another.
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("chatcluster-testkit-ports-{user}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for _ in 0..1000 {
        let port = rand::rng().random_range(RANGE);
        let lock = File::create(folder.join(port.to_string())).context("failed to create a port lock")?;
        // A lock that is taken, here or in another process, is a port that is taken.
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            CLAIMED.lock().push(lock);
            return Ok(port);
        }
    }
    bail!("failed to find a free port in {RANGE:?}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<u16> = (0..200).map(|_| super::free_port().unwrap()).collect();
        assert_eq!(ports.len(), 200);
    }
}
