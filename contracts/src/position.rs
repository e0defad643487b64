//! A session's place in all of its conversations, as one opaque text the client hands back on resume.

use std::collections::BTreeMap;

use crate::{ids::ConversationId, seq::Seq};

/// The last seq received, per conversation.
pub type Resume = BTreeMap<ConversationId, Seq>;

/// What an entry takes: a UUID, a seq of seven digits and what stands around them.
const ENTRY_BYTES: usize = 48;

/// `1;<conversationId>=<seq>;…`. Clients must treat it as opaque; the leading digit is the version.
pub fn encode(resume: &Resume) -> String {
    use std::fmt::Write;
    // one for every message of a session with several conversations: formatting and growing would be most of its cost
    let mut text = String::with_capacity(1 + resume.len() * ENTRY_BYTES);
    text.push('1');
    for (conversation, seq) in resume {
        text.push(';');
        text.push_str(conversation.as_str());
        text.push('=');
        let _ = write!(text, "{}", seq.get());
    }
    text
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the position is not one that this platform handed out")]
pub struct InvalidPosition;

pub fn decode(text: &str) -> Result<Resume, InvalidPosition> {
    let mut parts = text.split(';');
    if parts.next() != Some("1") {
        return Err(InvalidPosition);
    }
    parts
        .map(|part| {
            // ids may contain '=', seqs may not: split at the last one
            let (conversation, seq) = part.rsplit_once('=').ok_or(InvalidPosition)?;
            let conversation = ConversationId::parse(conversation).map_err(|_| InvalidPosition)?;
            Ok((conversation, Seq::new(seq.parse().map_err(|_| InvalidPosition)?)))
        })
        .collect()
}
