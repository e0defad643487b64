//! Requests about the settings of topics and brokers.

use std::time::Duration;

use rdkafka::bindings::{
    self as rd, rd_kafka_AlterConfigOpType_t as Alteration, rd_kafka_ConfigSource_t as Source,
    rd_kafka_ResourceType_t as Resource, rd_kafka_admin_op_t as Operation,
};

use super::{
    Native,
    handle::{Handle, c_text, lent_error, list, outcome, pointers, text},
    topics::Answers,
};
use crate::{
    error::Failure,
    topic::{Config, ConfigChange, ConfigValue},
};

type NativeResource = Handle<rd::rd_kafka_ConfigResource_t>;

impl Native {
    pub(crate) fn topic_configs(&self, names: &[String], timeout: Duration) -> Result<Answers<Config>, Failure> {
        let topics = names.iter().map(|name| resource(Resource::RD_KAFKA_RESOURCE_TOPIC, name));
        self.configs(&topics.collect::<Result<Vec<_>, _>>()?, timeout)
    }

    pub(crate) fn broker_config(&self, id: i32, timeout: Duration) -> Result<Answers<Config>, Failure> {
        self.configs(&[resource(Resource::RD_KAFKA_RESOURCE_BROKER, &id.to_string())?], timeout)
    }

    fn configs(&self, resources: &[NativeResource], timeout: Duration) -> Result<Answers<Config>, Failure> {
        let mut pointers = pointers(resources);
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout, false, |to| {
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe {
                rd::rd_kafka_DescribeConfigs(to.client, pointers.as_mut_ptr(), pointers.len(), to.options, to.queue);
            }
        })?;
        let mut count = 0;
        // SAFETY: the event lives, and the resources in it as long.
        unsafe {
            let result = rd::rd_kafka_event_DescribeConfigs_result(event.as_ptr());
            if result.is_null() {
                return Ok(Vec::new());
            }
            let found = list(rd::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count), count);
            Ok(found.iter().map(|&found| answer(found, |found| settings(found))).collect())
        }
    }

    pub(crate) fn alter_configs(&self, changes: &[ConfigChange], timeout: Duration) -> Result<Answers<()>, Failure> {
        let resources = changes.iter().map(altered).collect::<Result<Vec<_>, _>>()?;
        let mut pointers = pointers(&resources);
        let event = self.call(Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS, timeout, false, |to| {
            let (resources, count) = (pointers.as_mut_ptr(), pointers.len());
            // SAFETY: all objects live during the call, which copies what it needs.
            unsafe { rd::rd_kafka_IncrementalAlterConfigs(to.client, resources, count, to.options, to.queue) }
        })?;
        let mut count = 0;
        // SAFETY: the event lives, and the resources in it as long.
        unsafe {
            let result = rd::rd_kafka_event_IncrementalAlterConfigs_result(event.as_ptr());
            if result.is_null() {
                return Ok(Vec::new());
            }
            let found = list(rd::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count), count);
            Ok(found.iter().map(|&found| answer(found, |_| ())).collect())
        }
    }
}

fn resource(kind: Resource, name: &str) -> Result<NativeResource, Failure> {
    let name = c_text(name)?;
    // SAFETY: the name lives during the call, and the object is ours.
    let resource = unsafe {
        Handle::own(rd::rd_kafka_ConfigResource_new(kind, name.as_ptr()), rd::rd_kafka_ConfigResource_destroy)
    };
    resource.ok_or_else(|| Failure::invalid("an empty name"))
}

fn altered(change: &ConfigChange) -> Result<NativeResource, Failure> {
    let resource = resource(Resource::RD_KAFKA_RESOURCE_TOPIC, &change.topic)?;
    let alter = |key: &str, alteration, value: Option<&str>| {
        let (key, value) = (c_text(key)?, value.map(c_text).transpose()?);
        let value = value.as_ref().map_or(std::ptr::null(), |value| value.as_ptr());
        // SAFETY: the object and both texts live; the call copies the texts. The error, if there is one, is ours.
        unsafe {
            let add = rd::rd_kafka_ConfigResource_add_incremental_config;
            let error = add(resource.as_ptr(), key.as_ptr(), alteration, value);
            match Handle::own(error, rd::rd_kafka_error_destroy) {
                None => Ok(()),
                Some(error) => lent_error(error.as_ptr()),
            }
        }
    };
    for (key, value) in &change.set {
        alter(key, Alteration::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, Some(value))?;
    }
    for key in &change.remove {
        alter(key, Alteration::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, None)?;
    }
    Ok(resource)
}

/// # Safety
/// `resource` lives during this call.
unsafe fn answer<T>(
    resource: *const rd::rd_kafka_ConfigResource_t,
    read: impl FnOnce(*const rd::rd_kafka_ConfigResource_t) -> T,
) -> (String, Result<T, Failure>) {
    // SAFETY: the resource lives, and what it lends as long.
    unsafe {
        let name = text(rd::rd_kafka_ConfigResource_name(resource));
        let code = rd::rd_kafka_ConfigResource_error(resource);
        (name, outcome(code, rd::rd_kafka_ConfigResource_error_string(resource)).map(|()| read(resource)))
    }
}

/// # Safety
/// `resource` lives during this call.
unsafe fn settings(resource: *const rd::rd_kafka_ConfigResource_t) -> Config {
    let mut count = 0;
    // SAFETY: the resource lives, and its entries as long.
    let entries = unsafe { list(rd::rd_kafka_ConfigResource_configs(resource, &raw mut count), count) };
    let setting = |&entry: &*const rd::rd_kafka_ConfigEntry_t| {
        // SAFETY: the entry and its texts live as long as the resource.
        unsafe {
            let value = rd::rd_kafka_ConfigEntry_value(entry);
            let value = (!value.is_null()).then(|| text(value));
            let own = matches!(
                rd::rd_kafka_ConfigEntry_source(entry),
                Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG
                    | Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG
            );
            (text(rd::rd_kafka_ConfigEntry_name(entry)), ConfigValue { value, own })
        }
    };
    entries.iter().map(setting).collect()
}
