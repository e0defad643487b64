//! Entries into the gateways' streams.

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::{ids::Node, stream_entry::StreamEntry};
use redis::cmd;

use super::{
    super::{Added, StreamError, StreamWriter},
    Inner,
};

#[async_trait]
impl StreamWriter for Inner {
    async fn add(&self, entries: Vec<(Node, Arc<StreamEntry>)>) -> Result<Vec<Added>, StreamError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let add = |(node, entry): &(Node, Arc<StreamEntry>)| {
            let mut command = cmd("XADD");
            command
                .arg(self.keys.gateway_stream(node))
                .arg("NOMKSTREAM")
                .arg("MAXLEN")
                .arg("~")
                .arg(self.max_length)
                .arg("*");
            for (field, value) in entry.to_fields() {
                command.arg(field).arg(&value[..]);
            }
            command
        };
        let ids: Vec<Option<String>> = self.shared.run(entries.iter().map(add).collect()).await?;
        Ok(ids.into_iter().map(|id| if id.is_some() { Added::Yes } else { Added::NoStream }).collect())
    }
}
