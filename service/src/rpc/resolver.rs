//! A channel to all that a name stands for, such as the pods behind a headless Service: its addresses are looked up again
//! and again, new ones are called at once, and those that are gone no more.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::{net::lookup_host, sync::mpsc::Sender, time::sleep};
use tonic::transport::{Channel, Endpoint, channel::Change};

/// Cluster DNS lets its answers live for five seconds.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// As long as no address is known.
const LOOK_UP_FIRST: Duration = Duration::from_millis(250);
const BUFFERED_CHANGES: usize = 16;

type Addresses = BTreeSet<SocketAddr>;

/// Calls wait, as long as their caller does, until the name has an address.
pub(super) fn channel(name: String) -> Channel {
    let (channel, changes) = Channel::balance_channel(BUFFERED_CHANGES);
    tokio::spawn(keep_up(name, changes));
    channel
}

/// Ends with the channel.
async fn keep_up(name: String, changes: Sender<Change<SocketAddr, Endpoint>>) {
    let mut known = Addresses::new();
    let mut is_told = false;
    loop {
        match lookup_host(name.as_str()).await.map(Addresses::from_iter) {
            // no address at all: what was there is still the best guess
            Ok(found) if !found.is_empty() => {
                if found != known {
                    tracing::info!(%name, addresses = found.len(), "core's addresses");
                }
                for change in changes_between(&known, &found) {
                    if changes.send(change).await.is_err() {
                        return;
                    }
                }
                known = found;
                is_told = false;
            }
            result if !is_told => {
                let reason = result.err().map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
                tracing::warn!(%name, reason, "core's name cannot be looked up; trying again");
                is_told = true;
            }
            _ => {}
        }
        tokio::select! {
            () = sleep(if known.is_empty() { LOOK_UP_FIRST } else { LOOK_UP_EVERY }) => {}
            () = changes.closed() => return,
        }
    }
}

/// New ones first, so that there is always one to call.
fn changes_between(known: &Addresses, found: &Addresses) -> Vec<Change<SocketAddr, Endpoint>> {
    let added = found.difference(known).map(|&address| Change::Insert(address, endpoint(address)));
    let gone = known.difference(found).map(|&address| Change::Remove(address));
    added.chain(gone).collect()
}

fn endpoint(address: SocketAddr) -> Endpoint {
    #[expect(clippy::expect_used, reason = "an address is always the authority of a URL")]
    super::endpoint(&format!("http://{address}")).expect("a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(known: &[&str], found: &[&str]) -> Vec<String> {
        let set = |list: &[&str]| list.iter().filter_map(|text| text.parse().ok()).collect::<Addresses>();
        let name = |change| match change {
            Change::Insert(address, _) => format!("+{address}"),
            Change::Remove(address) => format!("-{address}"),
        };
        changes_between(&set(known), &set(found)).into_iter().map(name).collect()
    }

    #[test]
    fn only_what_came_or_went_is_told_and_what_came_first() {
        assert_eq!(told(&[], &["10.0.0.1:9090", "[::1]:9090"]), ["+10.0.0.1:9090", "+[::1]:9090"]);
        assert_eq!(
            told(&["10.0.0.1:9090", "10.0.0.2:9090"], &["10.0.0.2:9090", "10.0.0.3:9090"]),
            ["+10.0.0.3:9090", "-10.0.0.1:9090"]
        );
        assert!(told(&["10.0.0.1:9090"], &["10.0.0.1:9090"]).is_empty());
    }
}
