//! What topics and groups are called here: a prefix for all, and names of their own for single topics.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use super::{DEAD_LETTER_SUFFIX, Group, Topic};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNames {
    #[error("{0:?} is not role=name")]
    NotAPair(String),
    #[error("{0:?} is not the role of a topic; these are: {roles}", roles = Topic::ALL.map(Topic::role_name).join(", "))]
    UnknownRole(String),
    #[error("the topic {0} is named twice")]
    NamedTwice(&'static str),
    #[error("{name:?}, for the topic {role}, cannot be the name of a Kafka topic")]
    NotAName { role: &'static str, name: String },
    #[error("the topics {one} and {other} would both use the name {name:?}")]
    Shared { one: &'static str, other: &'static str, name: String },
}

/// Topics with a name of their own, as configuration writes them: `messages=foo.all,typing=bar`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renamed(BTreeMap<Topic, String>);

impl FromStr for Renamed {
    type Err = InvalidNames;

    fn from_str(text: &str) -> Result<Self, InvalidNames> {
        let mut renamed = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (role, name) = pair.split_once('=').ok_or_else(|| InvalidNames::NotAPair(pair.to_owned()))?;
            let (role, name) = (role.trim(), name.trim());
            let topic = Topic::from_role_name(role).ok_or_else(|| InvalidNames::UnknownRole(role.to_owned()))?;
            if !is_valid_name(name) {
                return Err(InvalidNames::NotAName { role: topic.role_name(), name: name.to_owned() });
            }
            if renamed.insert(topic, name.to_owned()).is_some() {
                return Err(InvalidNames::NamedTwice(topic.role_name()));
            }
        }
        Ok(Self(renamed))
    }
}

/// The names of topics and groups: a prefix sets several clusters on one Kafka apart, and single topics may have names of
/// their own, in front of which the prefix is not put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    own: BTreeMap<Topic, String>,
}

impl Names {
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), own: BTreeMap::new() }
    }

    /// With a name of its own for one topic. Whether all the names go together, [`check`](Self::check) tells.
    #[must_use]
    pub fn with_topic(mut self, topic: Topic, name: &str) -> Self {
        self.own.insert(topic, name.to_owned());
        self
    }

    /// The same for several.
    #[must_use]
    pub fn with_renamed(self, renamed: &Renamed) -> Self {
        renamed.0.iter().fold(self, |names, (topic, name)| names.with_topic(*topic, name))
    }

    pub fn topic(&self, topic: Topic) -> String {
        self.own.get(&topic).cloned().unwrap_or_else(|| format!("{}{}", self.prefix, topic.default_name()))
    }

    pub fn dead_letters(&self, topic: Topic) -> String {
        format!("{}{DEAD_LETTER_SUFFIX}", self.topic(topic))
    }

    pub fn group(&self, group: Group) -> String {
        format!("{}{}", self.prefix, group.default_name())
    }

    /// The role of a topic by its full name.
    pub fn role(&self, name: &str) -> Option<Topic> {
        let bare = name.strip_prefix(self.prefix.as_str());
        Topic::ALL.into_iter().find(|topic| match self.own.get(topic) {
            Some(own) => own == name,
            None => bare == Some(topic.default_name()),
        })
    }

    /// Can all of these be topics at the same time? To be asked once, at the start.
    pub fn check(&self) -> Result<(), InvalidNames> {
        let mut used: HashMap<String, Topic> = HashMap::new();
        for topic in Topic::ALL {
            let dead_letters = topic.has_dead_letters().then(|| self.dead_letters(topic));
            for name in [self.topic(topic)].into_iter().chain(dead_letters) {
                if !is_valid_name(&name) {
                    return Err(InvalidNames::NotAName { role: topic.role_name(), name });
                }
                if let Some(other) = used.insert(name.clone(), topic) {
                    return Err(InvalidNames::Shared { one: other.role_name(), other: topic.role_name(), name });
                }
            }
        }
        Ok(())
    }
}

/// Kafka's own rule for topic names: 1 to 249 of `[A-Za-z0-9._-]`, and not `.` or `..`.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str, renamed: &str) -> Names {
        Names::with_prefix(prefix).with_renamed(&renamed.parse().unwrap())
    }

    #[test]
    fn a_prefix_sets_two_clusters_apart_and_roles_are_found_again() {
        let names = Names::with_prefix("blue.");
        assert_eq!(names.topic(Topic::Messages), "blue.message.all");
        assert_eq!(names.role("blue.message.all"), Some(Topic::Messages));
        assert_eq!(names.role("message.all"), None);
        assert_eq!(names.dead_letters(Topic::Ingest), "blue.message.ingest.dlq");
        assert_eq!(names.check(), Ok(()));
        for topic in Topic::ALL {
            assert!(topic.segment() <= topic.retention());
            assert_eq!(Topic::from_role_name(topic.role_name()), Some(topic));
        }
    }

    #[test]
    fn a_topic_may_have_a_name_of_its_own() {
        let names = names("blue.", " messages=foo.all, typing=bar,");
        assert_eq!(names.topic(Topic::Messages), "foo.all");
        assert_eq!(names.dead_letters(Topic::Messages), "foo.all.dlq");
        assert_eq!((names.role("foo.all"), names.role("bar")), (Some(Topic::Messages), Some(Topic::Typing)));
        assert_eq!((names.role("blue.message.all"), names.role("blue.foo.all")), (None, None));
        assert_eq!(names.topic(Topic::Status), "blue.message-status-events");
        assert_eq!(names.group(Group::Fanout), "blue.fanout-worker-group");
        assert_eq!(names.check(), Ok(()));
    }

    #[test]
    fn two_topics_may_change_places_but_not_share_one() {
        assert_eq!(names("", "messages=message.created,created=message.all").check(), Ok(()));
        let refused = |prefix, renamed| names(prefix, renamed).check().unwrap_err().to_string();
        assert_eq!(
            refused("", "typing=message.all"),
            "the topics messages and typing would both use the name \"message.all\""
        );
        assert!(refused("", "messages=a,created=a").contains("messages and created"));
        assert!(refused("", "messages=a,typing=a.dlq").contains("\"a.dlq\""));
        assert!(refused("no spaces ", "").contains("cannot be the name"));
        assert!(
            refused("", &format!("messages={}", "x".repeat(247))).contains(".dlq"),
            "its dead letters need room too"
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |text: &str| text.parse::<Renamed>().unwrap_err().to_string();
        assert_eq!(refused("messages"), "\"messages\" is not role=name");
        assert!(
            refused("message=a").starts_with("\"message\" is not the role of a topic; these are: messages, created, ")
        );
        assert!(refused("messages=a b").contains("\"a b\", for the topic messages,"));
        assert!(refused("messages=").contains("cannot be"));
        assert_eq!(refused("users=a,users=b"), "the topic users is named twice");
        assert_eq!("".parse(), Ok(Renamed::default()));
    }
}
