//! STOMP 1.2 as a stranger's client speaks it: it knows frames, and nothing of the gateway.

use super::{Heard, Resume, of_json};

/// What receipts of rooms begin with; the room follows.
const JOINED: &str = "joined-";
const LEFT: &str = "left-";

struct Frame<'a> {
    command: &'a str,
    headers: Vec<(&'a str, String)>,
    body: &'a str,
}

impl<'a> Frame<'a> {
    /// The first frame of a text and what follows it. `None`: there is none, or it is broken.
    fn take(text: &'a str) -> Option<(Self, &'a str)> {
        let text = text.trim_start_matches(['\n', '\r']);
        let (head, rest) = text.split_once("\n\n")?;
        let mut lines = head.lines();
        let command = lines.next()?;
        let headers: Vec<_> =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, unescape(value))).collect();
        let length =
            headers.iter().find(|(name, _)| *name == "content-length").and_then(|(_, value)| value.parse().ok());
        let length: usize = length.or_else(|| rest.find('\0'))?;
        let (body, rest) = (rest.get(..length)?, rest.get(length..)?.strip_prefix('\0')?);
        Some((Self { command, headers, body }, rest))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> String {
        self.header(name).unwrap_or_default().to_owned()
    }
}

fn frame(command: &str, headers: &[(&str, &str)], body: &str) -> String {
    // neither CONNECT nor anything that this client says has to be escaped
    let mut frame = format!("{command}\n");
    for (name, value) in headers {
        frame.extend([*name, ":", *value, "\n"]);
    }
    frame.extend(["\n", body, "\0"]);
    frame
}

fn unescape(text: &str) -> String {
    text.replace("\\c", ":").replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\")
}

pub(super) fn connect(token: &str, resume: Option<&Resume<'_>>) -> String {
    let mut headers = vec![("accept-version", "1.2"), ("host", "chat"), ("heart-beat", "0,0"), ("passcode", token)];
    if let Some(Resume::Position(position)) = resume {
        headers.push(("position", position));
    }
    frame("CONNECT", &headers, "")
}

pub(super) fn subscriptions() -> Vec<String> {
    let to = |id: &str, destination: &str| frame("SUBSCRIBE", &[("id", id), ("destination", destination)], "");
    vec![to("errors", "/user/queue/errors"), to("messages", "/user/queue/messages")]
}

pub(super) fn send(client_msg_id: &str, conversation: &str, content: &str) -> String {
    let destination = format!("/app/conversations/{conversation}/messages");
    frame(
        "SEND",
        &[("destination", &destination), ("client-msg-id", client_msg_id), ("receipt", client_msg_id)],
        content,
    )
}

pub(super) fn join(room: &str, after: Option<u64>, since: Option<&str>) -> String {
    let (destination, receipt) = (format!("/topic/rooms.{room}"), format!("{JOINED}{room}"));
    let after = after.map(|after| after.to_string());
    let mut headers = vec![("id", room), ("destination", &destination), ("receipt", &receipt)];
    headers.extend(after.as_deref().map(|after| ("after", after)));
    headers.extend(since.map(|since| ("since", since)));
    frame("SUBSCRIBE", &headers, "")
}

pub(super) fn leave(room: &str) -> String {
    frame("UNSUBSCRIBE", &[("id", room), ("receipt", &format!("{LEFT}{room}"))], "")
}

/// What a receipt is for.
fn done(frame: &Frame<'_>) -> Heard {
    let receipt = frame.text("receipt-id");
    if let Some(room) = receipt.strip_prefix(JOINED) {
        return Heard::Joined { room: room.into(), seq: None };
    }
    if let Some(room) = receipt.strip_prefix(LEFT) {
        return Heard::Left { room: room.into() };
    }
    Heard::Stored {
        client_msg_id: receipt,
        conversation: frame.text("conversation-id"),
        message_id: frame.text("message-id"),
        seq: frame.header("seq").and_then(|seq| seq.parse().ok()).unwrap_or_default(),
    }
}

pub(super) fn hear(text: &str) -> Vec<Heard> {
    let (mut heard, mut rest) = (Vec::new(), text);
    while let Some((frame, after)) = Frame::take(rest) {
        rest = after;
        match frame.command {
            "CONNECTED" => heard.push(Heard::Connected),
            "RECEIPT" => heard.push(done(&frame)),
            "ERROR" => heard.push(Heard::Refused { client_msg_id: frame.text("receipt-id"), code: frame.text("code") }),
            "MESSAGE" => {
                heard.extend(of_json(frame.body));
                heard.extend(frame.header("position").map(|position| Heard::Position(position.to_owned())));
            }
            _ => {}
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::history::What;

    #[test]
    fn frames_are_told_apart_and_every_message_says_where_to_go_on() {
        let event = r#"{"type":"MESSAGE","conversationId":"c","seq":3,"messageId":"m","clientMsgId":"x","senderId":"ann","content":"ü"}"#;
        let length = event.len().to_string();
        let message = [("destination", "/user/queue/messages"), ("position", "1;c=3"), ("content-length", &*length)];
        let receipt = [("receipt-id", "x"), ("message-id", "m"), ("conversation-id", "c"), ("seq", "3")];
        let text = ["\n", &frame("MESSAGE", &message, event), &frame("RECEIPT", &receipt, ""), "\n"].concat();
        let heard = hear(&text);
        assert!(
            matches!(&heard[0], Heard::Said(What::Event(event)) if event.seq == 3 && &*event.user == "ann"),
            "{heard:?}"
        );
        assert_eq!(heard[1], Heard::Position("1;c=3".into()));
        assert!(matches!(&heard[2], Heard::Stored { client_msg_id, seq: 3, .. } if client_msg_id == "x"), "{heard:?}");
        assert_eq!(heard.len(), 3);
        let error = frame("ERROR", &[("code", "not_a_member"), ("receipt-id", "y")], "");
        assert_eq!(hear(&error), [Heard::Refused { client_msg_id: "y".into(), code: "not_a_member".into() }]);
        assert_eq!(hear("\n"), []);
    }

    #[test]
    fn a_room_is_named_by_its_receipts_and_its_records_by_their_ids() {
        let said = join("r", Some(3), Some("1-7"));
        assert!(said.contains("\ndestination:/topic/rooms.r\nreceipt:joined-r\nafter:3\nsince:1-7\n\n\0"), "{said:?}");
        let receipt = |id: &str| hear(&frame("RECEIPT", &[("receipt-id", id)], ""));
        assert_eq!(receipt("joined-r"), [Heard::Joined { room: "r".into(), seq: None }]);
        assert_eq!(receipt("left-r"), [Heard::Left { room: "r".into() }]);
        let record = r#"{"type":"message","roomId":"r","id":"1-8","data":{"roomId":"r"}}"#;
        let heard = hear(&frame("MESSAGE", &[("destination", "/topic/rooms.r")], record));
        assert!(
            matches!(&heard[..], [Heard::Said(What::Record { room, id, .. })] if &**room == "r" && &**id == "1-8"),
            "{heard:?}"
        );
        let gap = hear(&frame("MESSAGE", &[], r#"{"type":"GAP","roomId":"r","since":"1-7"}"#));
        assert_eq!(gap, [Heard::Said(What::Gap { room: "r".into(), since: Some("1-7".into()) })]);
    }

    #[test]
    fn a_connect_hands_back_the_position_as_it_came() {
        let said = connect("jwt", Some(&Resume::Position("1;c=3")));
        assert!(said.starts_with("CONNECT\n") && said.contains("\npasscode:jwt\nposition:1;c=3\n\n\0"), "{said:?}");
    }
}
