//! A session's place in all of its conversations, as one opaque text the client hands back on resume.

use std::collections::BTreeMap;

use crate::{ids::ConversationId, seq::Seq};

/// The last seq received, per conversation.
pub type Resume = BTreeMap<ConversationId, Seq>;

/// `1;<conversationId>=<seq>;…`. Clients must treat it as opaque; the leading digit is the version.
pub fn encode(resume: &Resume) -> String {
    use std::fmt::Write;
    let mut text = String::from("1");
    for (conversation, seq) in resume {
        let _ = write!(text, ";{conversation}={seq}");
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
