//! Which pages may connect.

/// Browsers always name the page's origin, and a page of another site must not use a user's cookies or network place.
/// Programs name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Only pages of the host that the request is for.
    OwnHost,
    /// These, exactly.
    Listed(Vec<String>),
    /// Conformance mode: there is nothing to protect.
    Any,
}

impl Origins {
    /// An empty list means the own host.
    pub(crate) fn listed(list: &[String]) -> Self {
        if list.is_empty() { Self::OwnHost } else { Self::Listed(list.to_vec()) }
    }

    /// `origin` and `host`: the headers of the request.
    pub(crate) fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            Self::Any => true,
            Self::Listed(list) => list.iter().any(|allowed| allowed == origin),
            Self::OwnHost => {
                let of_page = origin.split_once("://").map(|(_, host)| host);
                of_page.is_some() && of_page == host
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_exactly() {
        let listed = Origins::listed(&["https://app.example".to_owned()]);
        assert!(listed.allow(Some("https://app.example"), Some("chat.example")));
        for bad in ["https://app.example.evil", "http://app.example", "https://chat.example", "null"] {
            assert!(!listed.allow(Some(bad), Some("chat.example")), "{bad}");
        }
        assert!(listed.allow(None, Some("chat.example")), "programs name no origin");
    }

    #[test]
    fn without_a_list_only_the_own_host_is_allowed() {
        let own = Origins::listed(&[]);
        assert!(own.allow(Some("https://chat.example"), Some("chat.example")));
        for bad in ["https://evil.example", "https://chat.example:444", "null"] {
            assert!(!own.allow(Some(bad), Some("chat.example")), "{bad}");
        }
    }
}
