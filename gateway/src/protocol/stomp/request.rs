//! What a frame asks for, once a session is there: its required headers, read into types that cannot be wrong.

use bytes::Bytes;
use chatcluster_contracts::problem::Code;

use super::frame::{Command, Frame, Headers, Version};

/// A frame whose headers do not say what it asks for. The text is fit for an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("{0} needs the header {1}")]
    Missing(Command, &'static str),
    #[error("the ack mode {0:?} is none of auto, client and client-individual")]
    AckMode(String),
    #[error("the prefetch-count {0:?} is not a number")]
    Prefetch(String),
    #[error("this session is connected already")]
    SecondConnect,
}

impl BadRequest {
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing(..) => Code::MissingField,
            Self::AckMode(_) | Self::Prefetch(_) => Code::InvalidField,
            Self::SecondConnect => Code::AlreadyConnected,
        }
    }
}

/// How a subscription acknowledges (chapter "SUBSCRIBE ack Header").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckMode {
    /// Sent is acknowledged.
    #[default]
    Auto,
    /// An ACK covers everything the subscription received up to it.
    Client,
    ClientIndividual,
}

/// How a client names a subscription. Only 1.0 may leave the id out; the destination then stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionName {
    Id(String),
    Destination(String),
}

/// How a client names what it acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckRef {
    /// 1.2: the `ack` header of the MESSAGE.
    Ack(String),
    /// 1.0 and 1.1: its `message-id`, and in 1.1 the id of the subscription.
    Message { message_id: String, subscription: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ack,
    Nack,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    pub destination: String,
    pub transaction: Option<String>,
    /// All of them, the client's own among them.
    pub headers: Headers,
    pub body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    pub name: SubscriptionName,
    pub destination: String,
    pub ack: AckMode,
    /// `prefetch-count`, as `RabbitMQ` has it: at most so many messages unacknowledged. 0 there is as good as none.
    pub prefetch: Option<usize>,
    /// All of them: what a destination knows besides.
    pub headers: Headers,
}

/// ACK or NACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    pub verdict: Verdict,
    pub what: AckRef,
    pub transaction: Option<String>,
    /// A header of NACK that `RabbitMQ` knows: false drops the message instead of giving it to another.
    pub requeue: bool,
}

/// Every frame but CONNECT. The receipt it may ask for is [`Frame::receipt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Send(Send),
    Subscribe(Subscribe),
    Unsubscribe(SubscriptionName),
    Settle(Settle),
    Begin(String),
    Commit(String),
    Abort(String),
    Disconnect,
}

impl Request {
    pub fn read(frame: Frame, version: Version) -> Result<Self, BadRequest> {
        let Frame { command, headers, body } = frame;
        let optional = |name| headers.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let required = |name| optional(name).ok_or(BadRequest::Missing(command, name));
        let subscription_name = || match (optional("id"), version) {
            (Some(id), _) => Ok(SubscriptionName::Id(id)),
            (None, Version::V1_0) => required("destination").map(SubscriptionName::Destination),
            (None, _) => Err(BadRequest::Missing(command, "id")),
        };
        let settle = |verdict| {
            let what = match version {
                Version::V1_2 => AckRef::Ack(required("id")?),
                Version::V1_1 => AckRef::Message {
                    message_id: required("message-id")?,
                    subscription: Some(required("subscription")?),
                },
                Version::V1_0 => {
                    AckRef::Message { message_id: required("message-id")?, subscription: optional("subscription") }
                }
            };
            let requeue = headers.get("requeue") != Some("false");
            Ok(Self::Settle(Settle { verdict, what, transaction: optional("transaction"), requeue }))
        };
        match command {
            Command::Connect | Command::Stomp => Err(BadRequest::SecondConnect),
            Command::Send => {
                let (destination, transaction) = (required("destination")?, optional("transaction"));
                Ok(Self::Send(Send { destination, transaction, headers, body }))
            }
            Command::Subscribe => {
                let (name, destination) = (subscription_name()?, required("destination")?);
                let (ack, prefetch) = (ack_mode(headers.get("ack"))?, prefetch(headers.get("prefetch-count"))?);
                Ok(Self::Subscribe(Subscribe { name, destination, ack, prefetch, headers }))
            }
            Command::Unsubscribe => subscription_name().map(Self::Unsubscribe),
            Command::Ack => settle(Verdict::Ack),
            Command::Nack => settle(Verdict::Nack),
            Command::Begin => required("transaction").map(Self::Begin),
            Command::Commit => required("transaction").map(Self::Commit),
            Command::Abort => required("transaction").map(Self::Abort),
            Command::Disconnect => Ok(Self::Disconnect),
        }
    }

    /// The transaction that this waits for before it is done.
    pub fn transaction(&self) -> Option<&str> {
        match self {
            Self::Send(send) => send.transaction.as_deref(),
            Self::Settle(settle) => settle.transaction.as_deref(),
            _ => None,
        }
    }

    /// Bytes that keeping it takes, near enough for a limit.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Send(send) => send.headers.bytes() + send.body.len(),
                Self::Settle(settle) => match &settle.what {
                    AckRef::Ack(id) => id.len(),
                    AckRef::Message { message_id, subscription } => {
                        message_id.len() + subscription.as_ref().map_or(0, String::len)
                    }
                },
                _ => 0,
            }
    }
}

fn ack_mode(header: Option<&str>) -> Result<AckMode, BadRequest> {
    match header {
        None | Some("auto" | "") => Ok(AckMode::Auto),
        Some("client") => Ok(AckMode::Client),
        Some("client-individual") => Ok(AckMode::ClientIndividual),
        Some(other) => Err(BadRequest::AckMode(other.chars().take(40).collect())),
    }
}

fn prefetch(header: Option<&str>) -> Result<Option<usize>, BadRequest> {
    let invalid = |text: &str| BadRequest::Prefetch(text.chars().take(40).collect());
    let count = header.map(|text| text.trim().parse().map_err(|_| invalid(text))).transpose()?;
    Ok(count.filter(|count| *count > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(command: Command, headers: &[(&str, &str)], version: Version) -> Result<Request, BadRequest> {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.push(name, value);
        }
        Request::read(Frame { command, headers: all, body: Bytes::new() }, version)
    }

    #[test]
    fn required_headers_are_asked_for() {
        let missing = |command, headers: &[_], name| {
            assert_eq!(read(command, headers, Version::V1_2), Err(BadRequest::Missing(command, name)));
        };
        missing(Command::Send, &[], "destination");
        missing(Command::Send, &[("destination", "")], "destination");
        missing(Command::Subscribe, &[("destination", "/x")], "id");
        missing(Command::Unsubscribe, &[("destination", "/x")], "id");
        missing(Command::Ack, &[("message-id", "1"), ("subscription", "s")], "id");
        missing(Command::Nack, &[], "id");
        missing(Command::Begin, &[], "transaction");
        assert_eq!(read(Command::Stomp, &[], Version::V1_2), Err(BadRequest::SecondConnect));
        let text = BadRequest::Missing(Command::Begin, "transaction").to_string();
        assert_eq!(text, "BEGIN needs the header transaction");
    }

    #[test]
    fn every_version_acknowledges_in_its_own_way() {
        let what = |headers: &[_], version| match read(Command::Ack, headers, version) {
            Ok(Request::Settle(settle)) => Some(settle.what),
            _ => None,
        };
        let headers = [("id", "7"), ("message-id", "m"), ("subscription", "s")];
        let message = AckRef::Message { message_id: "m".into(), subscription: Some("s".into()) };
        assert_eq!(what(&headers, Version::V1_2), Some(AckRef::Ack("7".into())));
        assert_eq!(what(&headers, Version::V1_1), Some(message.clone()));
        assert_eq!(what(&headers, Version::V1_0), Some(message));
        assert_eq!(what(&headers[..2], Version::V1_1), None, "1.1 needs the subscription");
        let message = AckRef::Message { message_id: "m".into(), subscription: None };
        assert_eq!(what(&headers[..2], Version::V1_0), Some(message));
    }

    #[test]
    fn a_subscription_of_1_0_may_have_no_id() {
        let subscribe = |headers: &[_], version| match read(Command::Subscribe, headers, version) {
            Ok(Request::Subscribe(subscribe)) => (subscribe.name, subscribe.ack, subscribe.prefetch),
            other => panic!("{other:?}"),
        };
        let (name, ack, prefetch) = subscribe(&[("destination", "/x"), ("ack", "client")], Version::V1_0);
        assert_eq!((name, ack), (SubscriptionName::Destination("/x".into()), AckMode::Client));
        assert_eq!(prefetch, None);
        let headers = [("destination", "/x"), ("id", "s"), ("ack", "client-individual"), ("prefetch-count", "3")];
        let (name, ack, prefetch) = subscribe(&headers, Version::V1_2);
        assert_eq!((name, ack), (SubscriptionName::Id("s".into()), AckMode::ClientIndividual));
        assert_eq!(prefetch, Some(3));
        let refused = read(Command::Subscribe, &[("destination", "/x"), ("id", "s"), ("ack", "all")], Version::V1_2);
        assert_eq!(refused, Err(BadRequest::AckMode("all".into())));
    }

    #[test]
    fn a_transaction_holds_sends_and_acknowledgements() {
        let of =
            |command, headers: &[_]| read(command, headers, Version::V1_2).unwrap().transaction().map(str::to_owned);
        assert_eq!(of(Command::Send, &[("destination", "/x"), ("transaction", "t")]).as_deref(), Some("t"));
        assert_eq!(of(Command::Nack, &[("id", "1"), ("transaction", "t")]).as_deref(), Some("t"));
        assert_eq!(of(Command::Begin, &[("transaction", "t")]), None);
    }
}
