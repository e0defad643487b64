//! Requests about topics and groups.

use std::{ffi::CString, time::Duration};

use rdkafka::{
    bindings::{self as rd, rd_kafka_admin_op_t as Operation},
    types::RDKafkaErrorCode as Code,
};

use super::{
    Event, Native,
    handle::{Handle, c_text, lent_error, list, outcome, pointers, text},
};
use crate::{
    error::Failure,
    topic::{NewTopic, Topic},
};

/// What became of one of the things asked for, by its name.
pub(crate) type Answers<T> = Vec<(String, Result<T, Failure>)>;

impl Native {
    pub(crate) fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<Answers<()>, Failure> {
        let handles = topics.iter().map(native_topic).collect::<Result<Vec<_>, _>>()?;
        let mut pointers = pointers(&handles);
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout, true, |to| {
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe { rd::rd_kafka_CreateTopics(to.client, pointers.as_mut_ptr(), pointers.len(), to.options, to.queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event lives and answers this kind of request; another kind gives null, which reads as nothing.
        let answers = unsafe {
            let result = rd::rd_kafka_event_CreateTopics_result(event.as_ptr());
            if result.is_null() {
                &[]
            } else {
                list(rd::rd_kafka_CreateTopics_result_topics(result, &raw mut count), count)
            }
        };
        Ok(topic_answers(&event, answers))
    }

    pub(crate) fn grow(&self, name: &str, total: u32, timeout: Duration) -> Result<Answers<()>, Failure> {
        let mut said = [0; 256];
        let name = c_text(name)?;
        // SAFETY: the name lives during the call, the buffer is as long as we say, and the object is ours.
        let partitions = unsafe {
            let total = usize::try_from(total).unwrap_or(usize::MAX);
            let partitions = rd::rd_kafka_NewPartitions_new(name.as_ptr(), total, said.as_mut_ptr(), said.len());
            Handle::own(partitions, rd::rd_kafka_NewPartitions_destroy)
        };
        // SAFETY: librdkafka ends the message with a zero byte; an untouched buffer is an empty message.
        let partitions = partitions.ok_or_else(|| Failure::invalid(unsafe { text(said.as_ptr()) }))?;
        let mut pointer = partitions.as_ptr();
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, timeout, true, |to| {
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe { rd::rd_kafka_CreatePartitions(to.client, &raw mut pointer, 1, to.options, to.queue) }
        })?;
        let mut count = 0;
        // SAFETY: as above.
        let answers = unsafe {
            let result = rd::rd_kafka_event_CreatePartitions_result(event.as_ptr());
            if result.is_null() {
                &[]
            } else {
                list(rd::rd_kafka_CreatePartitions_result_topics(result, &raw mut count), count)
            }
        };
        Ok(topic_answers(&event, answers))
    }

    pub(crate) fn delete_topics(&self, names: &[String], timeout: Duration) -> Result<Answers<()>, Failure> {
        let handles = named(names, |name| {
            // SAFETY: the name lives during the call and is not empty, and the object is ours.
            unsafe { Handle::own(rd::rd_kafka_DeleteTopic_new(name.as_ptr()), rd::rd_kafka_DeleteTopic_destroy) }
        })?;
        let mut pointers = pointers(&handles);
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout, true, |to| {
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe { rd::rd_kafka_DeleteTopics(to.client, pointers.as_mut_ptr(), pointers.len(), to.options, to.queue) }
        })?;
        let mut count = 0;
        // SAFETY: as above.
        let answers = unsafe {
            let result = rd::rd_kafka_event_DeleteTopics_result(event.as_ptr());
            if result.is_null() {
                &[]
            } else {
                list(rd::rd_kafka_DeleteTopics_result_topics(result, &raw mut count), count)
            }
        };
        Ok(topic_answers(&event, answers))
    }

    pub(crate) fn delete_groups(&self, names: &[String], timeout: Duration) -> Result<Answers<()>, Failure> {
        let handles = named(names, |name| {
            // SAFETY: the name lives during the call and is not empty, and the object is ours.
            unsafe { Handle::own(rd::rd_kafka_DeleteGroup_new(name.as_ptr()), rd::rd_kafka_DeleteGroup_destroy) }
        })?;
        let mut pointers = pointers(&handles);
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_DELETEGROUPS, timeout, false, |to| {
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe { rd::rd_kafka_DeleteGroups(to.client, pointers.as_mut_ptr(), pointers.len(), to.options, to.queue) }
        })?;
        let mut count = 0;
        // SAFETY: as above; the groups live as long as the event.
        unsafe {
            let result = rd::rd_kafka_event_DeleteGroups_result(event.as_ptr());
            if result.is_null() {
                return Ok(Vec::new());
            }
            let groups = list(rd::rd_kafka_DeleteGroups_result_groups(result, &raw mut count), count);
            let answer = |group| {
                (text(rd::rd_kafka_group_result_name(group)), lent_error(rd::rd_kafka_group_result_error(group)))
            };
            Ok(groups.iter().map(|&group| answer(group)).collect())
        }
    }

    /// Asking does not create: librdkafka forbids it in this request, whatever the broker's configuration.
    pub(crate) fn describe_topics(&self, names: &[String], timeout: Duration) -> Result<Answers<Topic>, Failure> {
        let texts = names.iter().map(|name| c_text(name)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = texts.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names live during the call, which copies them, and the collection is ours.
        let topics = unsafe {
            let topics = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            Handle::own(topics, rd::rd_kafka_TopicCollection_destroy)
        };
        let topics = topics.ok_or_else(|| Failure::invalid("these names make no collection"))?;
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout, false, |to| {
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe { rd::rd_kafka_DescribeTopics(to.client, topics.as_ptr(), to.options, to.queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event lives, and the descriptions as long.
        unsafe {
            let result = rd::rd_kafka_event_DescribeTopics_result(event.as_ptr());
            if result.is_null() {
                return Ok(Vec::new());
            }
            let found = list(rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count), count);
            Ok(found.iter().map(|&topic| described(topic)).collect())
        }
    }
}

fn native_topic(topic: &NewTopic) -> Result<Handle<rd::rd_kafka_NewTopic_t>, Failure> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let mut said = [0; 256];
    let name = c_text(&topic.name)?;
    // SAFETY: the name lives during the call, the buffer is as long as we say, and the object is ours.
    let native = unsafe {
        let (partitions, replication) = (number(topic.partitions), number(topic.replication));
        let native = rd::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replication, said.as_mut_ptr(), said.len());
        Handle::own(native, rd::rd_kafka_NewTopic_destroy)
    };
    // SAFETY: librdkafka ends the message with a zero byte; an untouched buffer is an empty message.
    let native = native.ok_or_else(|| Failure::invalid(unsafe { text(said.as_ptr()) }))?;
    for (key, value) in &topic.config {
        let (key, value) = (c_text(key)?, c_text(value)?);
        // SAFETY: the object and both texts live; the call copies the texts. There is no message to lend.
        unsafe {
            let set = rd::rd_kafka_NewTopic_set_config(native.as_ptr(), key.as_ptr(), value.as_ptr());
            outcome(set, std::ptr::null())?;
        }
    }
    Ok(native)
}

/// One object for each name. librdkafka ends the process over an empty one.
fn named<T>(names: &[String], make: impl Fn(CString) -> Option<Handle<T>>) -> Result<Vec<Handle<T>>, Failure> {
    let refused = || Failure::invalid("an empty name");
    let handle = |name: &String| make(c_text(name)?).ok_or_else(refused);
    names.iter().map(|name| if name.is_empty() { Err(refused()) } else { handle(name) }).collect()
}

/// `answers` belong to `event`.
fn topic_answers(_event: &Event, answers: &[*const rd::rd_kafka_topic_result_t]) -> Answers<()> {
    let answer = |&topic: &*const rd::rd_kafka_topic_result_t| {
        // SAFETY: the answer and its texts live as long as its event, which is borrowed.
        unsafe {
            let (code, message) =
                (rd::rd_kafka_topic_result_error(topic), rd::rd_kafka_topic_result_error_string(topic));
            (text(rd::rd_kafka_topic_result_name(topic)), outcome(code, message))
        }
    };
    answers.iter().map(answer).collect()
}

/// # Safety
/// `topic` lives during this call.
unsafe fn described(topic: *const rd::rd_kafka_TopicDescription_t) -> (String, Result<Topic, Failure>) {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // SAFETY: the description lives, and what it lends as long.
    unsafe {
        let name = text(rd::rd_kafka_TopicDescription_name(topic));
        if let Err(failure) = lent_error(rd::rd_kafka_TopicDescription_error(topic)) {
            return (name, Err(failure));
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            let message = "the broker tells no topic ids, it is too old".to_owned();
            return (name, Err(Failure { code: Code::UnsupportedVersion, message }));
        }
        // librdkafka writes the other alphabet of base64; everybody else prints ids in this one.
        let id = text(rd::rd_kafka_Uuid_base64str(id)).replace('+', "-").replace('/', "_");
        let mut count = 0;
        let partitions = list(rd::rd_kafka_TopicDescription_partitions(topic, &raw mut count), count);
        let copies = |&partition: &*const rd::rd_kafka_TopicPartitionInfo_t| {
            let mut copies = 0;
            rd::rd_kafka_TopicPartitionInfo_replicas(partition, &raw mut copies);
            copies
        };
        let led = |&&partition: &&*const rd::rd_kafka_TopicPartitionInfo_t| {
            let leader = rd::rd_kafka_TopicPartitionInfo_leader(partition);
            !leader.is_null() && rd::rd_kafka_Node_id(leader) >= 0
        };
        let replication = number(partitions.iter().map(copies).min().unwrap_or(0));
        let with_leader = number(partitions.iter().filter(led).count());
        (name.clone(), Ok(Topic { name, id, partitions: number(partitions.len()), replication, with_leader }))
    }
}
