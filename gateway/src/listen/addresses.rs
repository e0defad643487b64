//! Where connections come from, and how many from one address.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// The client's address: that of the connection or, behind `proxies` trusted proxies, the one that the outermost of them
/// noted. `forwarded`: the `X-Forwarded-For` header.
pub(crate) fn client_address(peer: IpAddr, forwarded: Option<&str>, proxies: usize) -> IpAddr {
    let Some(before) = proxies.checked_sub(1) else { return peer };
    // each proxy appends whom it heard it from: what stands further left is the client's own invention
    let noted = forwarded.and_then(|list| list.rsplit(',').nth(before));
    noted.and_then(|address| address.trim().parse().ok()).unwrap_or(peer)
}

/// Sessions of each address.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// 0: no limit.
    limit: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One session's place among those of its address; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    addresses: Arc<Addresses>,
}

impl Addresses {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, counts: Mutex::default() })
    }

    /// `None`: the address has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if self.limit > 0 && *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { address, addresses: self.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_noted_is_believed() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let forged = Some("1.1.1.1, 2.2.2.2, 3.3.3.3");
        assert_eq!(client_address(peer, forged, 0), peer);
        assert_eq!(client_address(peer, forged, 1).to_string(), "3.3.3.3");
        assert_eq!(client_address(peer, forged, 2).to_string(), "2.2.2.2");
        assert_eq!(client_address(peer, Some("nonsense"), 1), peer);
        assert_eq!(client_address(peer, None, 1), peer);
    }

    #[test]
    fn a_place_is_given_back() {
        let addresses = Addresses::new(2);
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
        let places = (addresses.enter(one), addresses.enter(one));
        assert!(places.0.is_some() && places.1.is_some() && addresses.enter(one).is_none());
        assert!(addresses.enter(other).is_some());
        drop(places);
        assert!(addresses.enter(one).is_some());
        assert_eq!(addresses.counts.lock().len(), 0);
    }
}
