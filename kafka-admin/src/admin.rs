//! The client.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    connection::ConnectionOptions,
    error::{Error, Failure},
    native::{Answers, Native},
    topic::{Config, ConfigChange, NewTopic, Topic},
};

/// Asks and tells the brokers. Cheap to clone; all clones share one connection.
///
/// Every call ends within the options' timeout and a second, [`Error::Unavailable`] if no broker answered. A call that
/// is dropped goes on in the background until then.
#[derive(Clone)]
pub struct Admin {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` only while it is dropped.
    native: Option<Arc<Native>>,
    timeout: Duration,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("timeout", &self.shared.timeout).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    /// librdkafka waits for its threads when a client is closed: that must not hold up an async thread.
    fn drop(&mut self) {
        let native = self.native.take();
        let closing = std::thread::Builder::new().name("kafka-admin-close".to_owned());
        // Without a thread to be had the closure is dropped here, and with it the client.
        let _ = closing.spawn(move || drop(native));
    }
}

impl Admin {
    /// Connects to nothing yet. Fails when librdkafka cannot use the options, e.g. a CA that is not PEM.
    pub fn new(options: &ConnectionOptions) -> Result<Self, Error> {
        let native = Native::new(&options.properties()).map_err(|failure| failure.during("setting up a client"))?;
        Ok(Self { shared: Arc::new(Shared { native: Some(Arc::new(native)), timeout: options.timeout }) })
    }

    /// What the brokers know of each topic, in the order asked; `None`: there is no such topic.
    pub async fn describe_topics(&self, names: &[String]) -> Result<Vec<Result<Option<Topic>, Error>>, Error> {
        let asked = names.to_vec();
        let answers =
            self.ask("describing topics", names, move |native, timeout| native.describe_topics(&asked, timeout));
        let known = |answer: Result<Topic, Error>| match answer {
            Ok(topic) => Ok(Some(topic)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(answers.await?.into_iter().map(known).collect())
    }

    /// Every setting of each topic, in the order asked.
    pub async fn topic_configs(&self, names: &[String]) -> Result<Vec<Result<Config, Error>>, Error> {
        let asked = names.to_vec();
        let ask = move |native: &Native, timeout| native.topic_configs(&asked, timeout);
        self.ask("reading the settings of topics", names, ask).await
    }

    /// Creates topics, each by itself: some may be created while others are refused. A created topic may not be known to
    /// every broker at once.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Result<(), Error>>, Error> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let topics = topics.to_vec();
        let ask = move |native: &Native, timeout| native.create_topics(&topics, timeout);
        self.ask("creating topics", &names, ask).await
    }

    /// Adds partitions to a topic until it has `total`.
    pub async fn grow(&self, name: &str, total: u32) -> Result<(), Error> {
        let names = [name.to_owned()];
        let name = name.to_owned();
        let ask = move |native: &Native, timeout| native.grow(&name, total, timeout);
        only(self.ask("adding partitions to topics", &names, ask).await?)
    }

    /// Changes the settings named and no others, each topic by itself.
    pub async fn alter_configs_incrementally(&self, changes: &[ConfigChange]) -> Result<Vec<Result<(), Error>>, Error> {
        let names: Vec<String> = changes.iter().map(|change| change.topic.clone()).collect();
        let changes = changes.to_vec();
        let ask = move |native: &Native, timeout| native.alter_configs(&changes, timeout);
        self.ask("changing the settings of topics", &names, ask).await
    }

    /// Deletes topics and their records, each by itself.
    pub async fn delete_topics(&self, names: &[String]) -> Result<Vec<Result<(), Error>>, Error> {
        let asked = names.to_vec();
        let ask = move |native: &Native, timeout| native.delete_topics(&asked, timeout);
        self.ask("deleting topics", names, ask).await
    }

    /// Deletes consumer groups and their offsets, each by itself. One with members is refused.
    pub async fn delete_groups(&self, names: &[String]) -> Result<Vec<Result<(), Error>>, Error> {
        let asked = names.to_vec();
        let ask = move |native: &Native, timeout| native.delete_groups(&asked, timeout);
        self.ask("deleting groups", names, ask).await
    }

    /// The settings of one of the brokers, e.g. `auto.create.topics.enable`.
    pub async fn broker_config(&self) -> Result<Config, Error> {
        let ask = |native: &Native, timeout| {
            let broker = native.any_broker(timeout).ok_or_else(|| native.unreachable())?;
            let answers = native.broker_config(broker, timeout)?;
            answers.into_iter().next().map_or_else(|| Err(unanswered()), |(_, answer)| answer)
        };
        self.block("reading the settings of a broker", ask).await
    }

    /// The id of the cluster, by which two addresses of the same Kafka can be told to be one.
    pub async fn cluster_id(&self) -> Result<String, Error> {
        let ask = |native: &Native, timeout| native.cluster_id(timeout).ok_or_else(|| native.unreachable());
        self.block("asking for the cluster's id", ask).await
    }

    /// Brings the answers into the order of `names`.
    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        names: &[String],
        ask: impl FnOnce(&Native, Duration) -> Result<Answers<T>, Failure> + Send + 'static,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers: HashMap<String, Result<T, Failure>> = self.block(what, ask).await?.into_iter().collect();
        let answer = |name: &String| {
            let answer = answers.remove(name).unwrap_or_else(|| Err(unanswered()));
            answer.map_err(|failure| failure.during(&format!("{what}: {name}")))
        };
        Ok(names.iter().map(answer).collect())
    }

    async fn block<T: Send + 'static>(
        &self,
        what: &'static str,
        ask: impl FnOnce(&Native, Duration) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = self.shared.clone();
        let asking = tokio::task::spawn_blocking(move || match &shared.native {
            Some(native) => ask(native, shared.timeout),
            None => Err(unanswered()),
        });
        match asking.await {
            Ok(answer) => answer.map_err(|failure| failure.during(what)),
            Err(error) => Err(Error::Unavailable(format!("{what}: {error}"))),
        }
    }
}

fn only(answers: Vec<Result<(), Error>>) -> Result<(), Error> {
    answers.into_iter().collect()
}

fn unanswered() -> Failure {
    Failure { code: rdkafka::types::RDKafkaErrorCode::Unknown, message: "the broker's answer leaves it out".to_owned() }
}
