//! What services beside the platform did and saw: those that produce to Kafka, those that publish user events, and those
//! who listen to these.

use serde_json::Value;

use super::{Ms, Name};

/// A record that Kafka has taken.
#[derive(Clone, Debug)]
pub struct Produced {
    pub topic: Topic,
    /// Of `message.created` partition and offset, of `message.ingest` the record's own id.
    pub id: Name,
    /// The room, or the conversation.
    pub room: Name,
    pub at: Ms,
    /// A message that the platform has to take.
    pub fine: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Created,
    Ingest,
}

/// A place in a log of Redis: `milliseconds-number`.
pub type Place = (u64, u64);

/// An id of an entry, as Redis writes it.
pub fn place(id: &str) -> Option<Place> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

/// A user event that was published. Those of one name are published one after the other.
#[derive(Clone, Debug)]
pub struct Published {
    pub name: Name,
    pub number: u64,
    /// When it was handed to Redis.
    pub at: Ms,
    /// When Redis answered, if it did.
    pub answered: Option<Ms>,
}

/// What is published for a name: the same in every place, byte for byte.
pub fn user_event(name: &str, number: u64) -> String {
    format!("{{\"type\" : \"torture\",\"to\":\"{name}\", \"number\":{number},\"more\":[1.0,\"\\u00fc\"]}}")
}

/// How a listener is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Road {
    /// From Pub/Sub: what is published while it is there, at most once.
    Live,
    /// From the log, each event with its id: what stands behind `since` first, if that is said.
    Log { since: Option<Place> },
}

/// One connection of somebody who listens to user events.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Connections of one device follow each other.
    pub device: u32,
    pub name: Name,
    pub gateway: usize,
    pub road: Road,
    /// When the upgrade was done.
    pub ready: Ms,
    /// Still open: `None`.
    pub end: Option<Ms>,
    pub heard: Vec<(Ms, Told)>,
}

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Event {
        /// Of the log.
        place: Option<Place>,
        to: Name,
        number: u64,
    },
    /// What came behind this place is not in the log any more.
    Gap { since: Place },
    /// Nothing that anybody published.
    Strange(String),
}

impl Told {
    /// Of an event.
    pub fn number(&self) -> Option<u64> {
        if let Self::Event { number, .. } = self { Some(*number) } else { None }
    }

    /// `numbered`: the listener has asked for ids.
    pub fn read(text: &str, numbered: bool) -> Self {
        let strange = || Self::Strange(text.to_owned());
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return strange() };
        if let Some(since) = frame["gap"]["since"].as_str().and_then(place) {
            return Self::Gap { since };
        }
        let (id, event) =
            if numbered { (frame["id"].as_str().and_then(place), &frame["data"]) } else { (None, &frame) };
        let (Some(to), Some(number)) = (event["to"].as_str(), event["number"].as_u64()) else { return strange() };
        // around it may stand an id, and nothing in it may be another
        let published = user_event(to, number);
        let intact = if numbered {
            id.is_some_and(|(ms, n)| text == format!("{{\"id\":\"{ms}-{n}\",\"data\":{published}}}"))
        } else {
            text == published
        };
        if intact { Self::Event { place: id, to: to.into(), number } } else { strange() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_byte_for_byte() {
        let event = user_event("ann", 7);
        let told = |place| Told::Event { place, to: "ann".into(), number: 7 };
        assert_eq!(Told::read(&event, false), told(None));
        assert_eq!(Told::read(&format!("{{\"id\":\"5-1\",\"data\":{event}}}"), true), told(Some((5, 1))));
        assert_eq!(Told::read("{\"gap\":{\"since\":\"5-1\"}}", true), Told::Gap { since: (5, 1) });
        for (text, numbered) in [(event.replace(" : ", ":"), false), (event, true), ("{".to_owned(), false)] {
            assert_eq!(Told::read(&text, numbered), Told::Strange(text.clone()), "{text}");
        }
    }
}
