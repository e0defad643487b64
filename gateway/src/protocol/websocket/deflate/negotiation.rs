//! Which of the client's offers is agreed to (RFC 6455 section 9.1, RFC 7692 sections 5 and 7.1).

use std::fmt;

use super::Window;

const NAME: &str = "permessage-deflate";

/// What the connection's messages may be compressed with. Shown, it is the value of the `Sec-WebSocket-Extensions`
/// header that says so to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// For messages to this client.
    pub window: Window,
    /// The client named a window for us, so the answer must.
    window_asked: bool,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}; server_no_context_takeover; client_no_context_takeover")?;
        if self.window_asked {
            write!(f, "; server_max_window_bits={}", self.window.bits())?;
        }
        Ok(())
    }
}

/// The first acceptable offer in the values of the request's `Sec-WebSocket-Extensions` headers. `None`: there is none,
/// and the connection is without extension.
///
/// Every client must be able to do without context takeover, in either direction (RFC 7692 section 7.1.1), so what we
/// need can be asked of any of them.
pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Agreement> {
    values.into_iter().find_map(first_acceptable)
}

fn first_acceptable(value: &str) -> Option<Agreement> {
    let mut rest = value;
    loop {
        // what cannot be read makes the rest unreadable too
        let (offer, separator, after) = take_offer(rest)?;
        if let Some(agreement) = offer.as_deref().and_then(agree) {
            return Some(agreement);
        }
        if !separator {
            return None;
        }
        rest = after;
    }
}

/// A parameter's name and, unescaped, its value.
type Parameter<'a> = (&'a str, Option<String>);

/// The parameters of the extension at the front, if it is ours; whether a comma follows; what follows that.
type Offer<'a> = (Option<Vec<Parameter<'a>>>, bool, &'a str);

fn take_offer(value: &str) -> Option<Offer<'_>> {
    let (name, mut rest) = take_token(value)?;
    let mut parameters = Vec::new();
    loop {
        let mut characters = rest.chars();
        match characters.next() {
            Some(';') => {
                let (name, after) = take_token(characters.as_str())?;
                let (value, after) = match after.strip_prefix('=') {
                    Some(after) => take_value(after).map(|(value, after)| (Some(value), after))?,
                    None => (None, after),
                };
                parameters.push((name, value));
                rest = after;
            }
            end @ (None | Some(',')) => {
                let ours = name.eq_ignore_ascii_case(NAME).then_some(parameters);
                return Some((ours, end.is_some(), characters.as_str()));
            }
            Some(_) => return None,
        }
    }
}

/// RFC 9110 section 5.6.2, with the white space around it.
fn take_token(value: &str) -> Option<(&str, &str)> {
    let value = value.trim_start_matches([' ', '\t']);
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = value.find(|c| !is_token(c)).unwrap_or(value.len());
    let (token, rest) = value.split_at(end);
    (!token.is_empty()).then(|| (token, rest.trim_start_matches([' ', '\t'])))
}

/// A token, or a quoted string that is a token without its quotes (RFC 6455 section 9.1).
fn take_value(value: &str) -> Option<(String, &str)> {
    let Some(quoted) = value.trim_start_matches([' ', '\t']).strip_prefix('"') else {
        return take_token(value).map(|(token, rest)| (token.to_owned(), rest));
    };
    let (mut unquoted, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => unquoted.push(characters.next()?),
            character => unquoted.push(character),
        }
    }
    Some((unquoted, characters.as_str().trim_start_matches([' ', '\t'])))
}

/// Section 7.1: an offer with an unknown, repeated or ill-valued parameter is declined.
fn agree(parameters: &[Parameter<'_>]) -> Option<Agreement> {
    let mut agreement = Agreement { window: Window::FULL, window_asked: false };
    for (index, (name, value)) in parameters.iter().enumerate() {
        if parameters[..index].iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            return None;
        }
        match (name.to_ascii_lowercase().as_str(), value.as_deref()) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            // any window of the client's is read
            ("client_max_window_bits", Some(bits)) => {
                Window::parse(bits)?;
            }
            ("server_max_window_bits", Some(bits)) => {
                agreement = Agreement { window: Window::parse(bits)?, window_asked: true };
            }
            _ => return None,
        }
    }
    Some(agreement)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(value: &str) -> Option<String> {
        negotiate([value]).map(|agreement| agreement.to_string())
    }

    #[test]
    fn offers_that_browsers_and_libraries_make() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=15;client_no_context_takeover",
            "Permessage-Deflate ; server_no_context_takeover ; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits=\"10\"",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "other; name=\"a, permessage-deflate; \\\"x\", permessage-deflate",
        ] {
            assert_eq!(answer(offer).as_deref(), Some(ANSWER), "{offer}");
        }
    }

    #[test]
    fn a_window_asked_for_is_answered() {
        for (bits, window) in [("8", 256), ("9", 512), ("15", 32_768), ("\"12\"", 4096)] {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let agreement = negotiate([offer.as_str()]).unwrap();
            assert_eq!(agreement.window.bytes(), window);
            let bits = bits.trim_matches('"');
            assert_eq!(agreement.to_string(), format!("{ANSWER}; server_max_window_bits={bits}"));
        }
    }

    #[test]
    fn offers_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; Server_No_Context_Takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"\"",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate;",
            "permessage-deflate client_max_window_bits",
            "broken\", permessage-deflate",
            "other; name=\"open, permessage-deflate",
        ] {
            assert_eq!(answer(offer), None, "{offer}");
        }
    }

    #[test]
    fn the_first_acceptable_offer_counts() {
        let offers = "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=10, permessage-deflate";
        assert_eq!(answer(offers).unwrap(), format!("{ANSWER}; server_max_window_bits=10"));
        assert_eq!(negotiate(["other", "permessage-deflate"]).unwrap().to_string(), ANSWER);
        assert_eq!(negotiate(["broken\"", "permessage-deflate"]).unwrap().to_string(), ANSWER);
    }
}
