//! Entries into the gateways' streams.

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::{ids::Node, stream_entry::StreamEntry};
use redis::Pipeline;

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
        let mut pipeline = Pipeline::with_capacity(entries.len());
        for (node, entry) in &entries {
            let command = pipeline
                .cmd("XADD")
                .arg(self.keys.gateway_stream(node))
                .arg("NOMKSTREAM")
                .arg("MAXLEN")
                .arg("~")
                .arg(self.max_length)
                .arg("*");
            for (field, value) in entry.to_fields() {
                command.arg(field).arg(&value[..]);
            }
        }
        let ids: Vec<Option<String>> = self.shared.run(&pipeline).await?;
        Ok(ids.into_iter().map(|id| if id.is_some() { Added::Yes } else { Added::NoStream }).collect())
    }
}
