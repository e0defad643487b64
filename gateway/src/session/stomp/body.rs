//! What a SEND says, in the words of the native protocol. Pure.
//!
//! A body is the JSON object that REST and the native protocol know. Text that is no such object is the content itself:
//! the simplest client of all sends what a person typed.

use chatcluster_contracts::{
    frame::{ClientFrame, Receipt, Send, Typing},
    ids::{ClientMsgId, ConversationId, InvalidId},
    problem::{Code, Problem},
    seq::Seq,
    trace::TraceParent,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::protocol::stomp::{
    destination::{Action, SendTo},
    request,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageBody {
    conversation_id: Option<String>,
    client_msg_id: Option<String>,
    content: String,
    thread_root_id: Option<String>,
    #[serde(default)]
    attachment_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypingBody {
    conversation_id: Option<String>,
    #[serde(default = "yes")]
    is_typing: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptBody {
    conversation_id: Option<String>,
    delivered_seq: Option<Seq>,
    read_seq: Option<Seq>,
    /// What `/app/chat.read` is about, in one word.
    seq: Option<Seq>,
}

/// What the SEND asks for; the destination was parsed before.
pub(super) fn read(to: SendTo, send: &request::Send) -> Result<ClientFrame, Problem> {
    match to.action {
        Action::Message => message(to.conversation, send).map(ClientFrame::Send),
        Action::Typing => {
            let body: TypingBody =
                if send.body.is_empty() { TypingBody { conversation_id: None, is_typing: true } } else { json(send)? };
            let conversation_id = conversation(to.conversation, body.conversation_id.as_deref())?;
            Ok(ClientFrame::Typing(Typing { conversation_id, is_typing: body.is_typing }))
        }
        Action::Receipt => {
            let body: ReceiptBody = json(send)?;
            let conversation_id = conversation(to.conversation, body.conversation_id.as_deref())?;
            let read_seq = body.read_seq.or(body.seq);
            if body.delivered_seq.is_none() && read_seq.is_none() {
                return Err(Problem::new(Code::MissingField, "the body needs deliveredSeq or readSeq"));
            }
            Ok(ClientFrame::Receipt(Receipt { conversation_id, delivered_seq: body.delivered_seq, read_seq }))
        }
    }
}

fn message(to: Option<ConversationId>, send: &request::Send) -> Result<Send, Problem> {
    let body = match (json::<MessageBody>(send), content_type(send)) {
        (Ok(body), ContentType::Json | ContentType::Unknown) => body,
        // what says that it is JSON must be, and an alias has no other way to name the conversation
        (Err(problem), ContentType::Json) => return Err(problem),
        (Err(problem), _) if to.is_none() => return Err(problem),
        (_, _) => MessageBody {
            conversation_id: None,
            client_msg_id: None,
            content: text(send)?.to_owned(),
            thread_root_id: None,
            attachment_ids: Vec::new(),
        },
    };
    let named = body.client_msg_id.as_deref().or_else(|| send.headers.get("client-msg-id"));
    let client_msg_id = match named {
        Some(id) => ClientMsgId::parse(id),
        None => ClientMsgId::parse(&uuid::Uuid::new_v4().to_string()),
    };
    Ok(Send {
        client_msg_id: client_msg_id.map_err(|error| invalid("clientMsgId", &error))?,
        conversation_id: conversation(to, body.conversation_id.as_deref())?,
        content: body.content,
        thread_root_id: match body.thread_root_id.as_deref() {
            Some(id) => Some(id.parse().map_err(|error| invalid("threadRootId", &error))?),
            None => None,
        },
        attachment_ids: body.attachment_ids,
        traceparent: send.headers.get("traceparent").and_then(TraceParent::parse),
    })
}

enum ContentType {
    Json,
    Text,
    Unknown,
}

fn content_type(send: &request::Send) -> ContentType {
    match send.headers.get("content-type").map(str::to_ascii_lowercase) {
        Some(kind) if kind.starts_with("application/json") => ContentType::Json,
        // Spring's clients call every string text/plain, JSON too
        Some(kind) if kind.starts_with("text/") && !send.body.starts_with(b"{") => ContentType::Text,
        _ => ContentType::Unknown,
    }
}

/// The destination's conversation; the body may name it again, and an alias leaves it to the body.
fn conversation(to: Option<ConversationId>, named: Option<&str>) -> Result<ConversationId, Problem> {
    match (to, named) {
        (Some(to), None) => Ok(to),
        (Some(to), Some(named)) if to.as_str() == named => Ok(to),
        (Some(_), Some(_)) => {
            Err(Problem::new(Code::InvalidField, "conversationId in the body is not that of the destination"))
        }
        (None, Some(named)) => ConversationId::parse(named).map_err(|error| invalid("conversationId", &error)),
        (None, None) => Err(Problem::new(Code::MissingField, "the body needs conversationId")),
    }
}

fn text(send: &request::Send) -> Result<&str, Problem> {
    std::str::from_utf8(&send.body).map_err(|_| Problem::new(Code::InvalidField, "the body is not UTF-8"))
}

fn json<T: DeserializeOwned>(send: &request::Send) -> Result<T, Problem> {
    serde_json::from_slice(&send.body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidField } else { Code::InvalidJson };
        Problem::new(code, format!("the body is not the JSON that belongs here: {error}"))
    })
}

fn invalid(name: &str, error: &InvalidId) -> Problem {
    Problem::new(Code::InvalidField, format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::stomp::Headers;

    fn send(destination: &str, headers: &[(&str, &str)], body: &str) -> Result<ClientFrame, Problem> {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.push(name, value);
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let send = request::Send { destination: destination.into(), transaction: None, headers: all, body };
        read(SendTo::parse(destination).unwrap(), &send)
    }

    fn message(destination: &str, headers: &[(&str, &str)], body: &str) -> Send {
        match send(destination, headers, body) {
            Ok(ClientFrame::Send(send)) => send,
            other => panic!("{other:?}"),
        }
    }

    const C1: &str = "/app/conversations/c1/messages";

    #[test]
    fn a_message_is_an_object_or_its_content() {
        let sent = message(C1, &[], r#"{"content":"hi","clientMsgId":"m1","threadRootId":"r1"}"#);
        assert_eq!((sent.content.as_str(), sent.client_msg_id.as_str()), ("hi", "m1"));
        assert_eq!(sent.thread_root_id.unwrap().as_str(), "r1");
        for plain in ["hi", r#"{"no":"content"}"#, "[1]", "{"] {
            assert_eq!(message(C1, &[("client-msg-id", "m2")], plain).content, plain);
        }
        let sent = message(C1, &[("client-msg-id", "m2"), ("content-type", "text/plain")], r#"{"content":"hi"}"#);
        assert_eq!((sent.content.as_str(), sent.client_msg_id.as_str()), ("hi", "m2"), "Spring's strings");
        assert_ne!(message(C1, &[], "a").client_msg_id, message(C1, &[], "a").client_msg_id);
        let json = [("content-type", "application/json;charset=UTF-8")];
        assert_eq!(send(C1, &json, r#"{"no":"content"}"#).unwrap_err().code, Code::InvalidField);
        assert_eq!(send(C1, &json, "hi").unwrap_err().code, Code::InvalidJson);
        assert_eq!(send(C1, &[("client-msg-id", "a b")], "hi").unwrap_err().code, Code::InvalidField);
    }

    #[test]
    fn an_alias_names_the_conversation_in_its_body() {
        let sent = message("/app/chat", &[], r#"{"conversationId":"c2","content":"hi"}"#);
        assert_eq!(sent.conversation_id.as_str(), "c2");
        assert_eq!(send("/app/chat.send", &[], "hi").unwrap_err().code, Code::InvalidJson);
        assert_eq!(send("/app/chat.send", &[], r#"{"content":"hi"}"#).unwrap_err().code, Code::MissingField);
        let both = r#"{"conversationId":"c2","content":"hi"}"#;
        assert_eq!(send(C1, &[], both).unwrap_err().code, Code::InvalidField);
    }

    #[test]
    fn typing_and_receipts_say_as_little_as_they_can() {
        let typing = |destination, body| match send(destination, &[], body) {
            Ok(ClientFrame::Typing(typing)) => (typing.conversation_id.to_string(), typing.is_typing),
            other => panic!("{other:?}"),
        };
        assert_eq!(typing("/app/conversations/c1/typing", ""), ("c1".into(), true));
        let guide = r#"{"conversationId":"c1","userId":"x","isTyping":false,"timestamp":1699732200000}"#;
        assert_eq!(typing("/app/chat.typing", guide), ("c1".into(), false));
        let receipt = |destination, body| match send(destination, &[], body) {
            Ok(ClientFrame::Receipt(receipt)) => (receipt.delivered_seq, receipt.read_seq),
            other => panic!("{other:?}"),
        };
        let (three, five) = (Some(Seq::new(3)), Some(Seq::new(5)));
        let both = r#"{"deliveredSeq":5,"readSeq":3}"#;
        assert_eq!(receipt("/app/conversations/c1/receipts", both), (five, three));
        assert_eq!(receipt("/app/chat.read", r#"{"conversationId":"c1","seq":5}"#), (None, five));
        let none = send("/app/chat.read", &[], r#"{"conversationId":"c1"}"#).unwrap_err();
        assert_eq!(none.code, Code::MissingField);
    }
}
