//! The log of a gateway that has none: nothing is ever written to it, because nobody signs in.

use async_trait::async_trait;
use chatcluster_transport::event_log::{LogError, NewRecord, Producer};

pub(crate) struct Nowhere;

#[async_trait]
impl Producer for Nowhere {
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<(), LogError>> {
        records.iter().map(|_| Err(LogError::Unavailable("conformance mode has no log".into()))).collect()
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}
