//! What clients asked of the API server, from its audit log.

use std::io::SeekFrom;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::{ApiServer, configuration};
use crate::WAIT;
use crate::condition::await_condition;
use crate::servers::random_name;

/// One answered request. A watch is here once, from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub user: String,
    /// get, list, watch, create, update, patch, delete, deletecollection; for a path that is no resource, its method.
    pub verb: String,
    /// Empty for the core group and for a path that is no resource.
    pub group: String,
    /// Plural, e.g. `configmaps`; for a path that is no resource, that path.
    pub resource: String,
    /// Empty for a list.
    pub name: String,
    /// Empty for what has none.
    pub namespace: String,
    /// E.g. `status`, or empty.
    pub subresource: String,
    /// HTTP status.
    pub code: u16,
    /// When it was answered.
    pub at: jiff::Timestamp,
}

impl Call {
    /// Whether it asked for a change, refused or not.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// A moment in the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

impl ApiServer {
    /// Every call that was answered until now, but for the server's own. The checks of its readiness are at the start.
    pub async fn audit(&self) -> Result<Vec<Call>> {
        self.audit_since(Mark(0)).await
    }

    /// Now: what is answered from here on is in [`ApiServer::audit_since`] of it.
    pub async fn audit_mark(&self) -> Result<Mark> {
        self.read_to_now(Mark(0)).await.map(|(_, end)| end)
    }

    /// The calls that were answered between `mark` and now.
    pub async fn audit_since(&self, mark: Mark) -> Result<Vec<Call>> {
        let (text, _) = self.read_to_now(mark).await?;
        text.lines().filter_map(|line| parse(line).transpose()).collect()
    }

    /// The server writes a line after it answered. So a call of our own is made, and what stands before its line is
    /// everything up to now.
    async fn read_to_now(&self, mark: Mark) -> Result<(String, Mark)> {
        let marker = format!("/version?mark={}", random_name(12));
        let client = self.stand_in.client().await?;
        let request = http::Request::get(&marker).body(Vec::new()).context("failed to write a request")?;
        client.request_text(request).await.context("failed to mark the audit log")?;
        let path = self.folder.path().join(configuration::AUDIT_LOG);
        // Only what is new is read again while waiting.
        let mut file = tokio::fs::File::open(&path).await.context("failed to open the audit log")?;
        file.seek(SeekFrom::Start(mark.0)).await.context("failed to find the mark in the audit log")?;
        let seen = tokio::sync::Mutex::new((file, Vec::new()));
        let length = await_condition("the mark in the audit log", WAIT, || async {
            let (file, bytes) = &mut *seen.lock().await;
            // The marker may straddle two reads.
            let from = bytes.len().saturating_sub(64 * 1024);
            file.read_to_end(bytes).await.map_err(|error| error.to_string())?;
            let found = find(&bytes[from..], marker.as_bytes()).map(|at| from + at);
            let end = found.and_then(|at| find(&bytes[at..], b"\n").map(|end| (at, at + end + 1)));
            let (at, end) = end.ok_or_else(|| format!("{} bytes without it", bytes.len()))?;
            Ok::<_, String>((bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |start| start + 1), end))
        });
        let (start_of_marker, end) = length.await?;
        let bytes = seen.into_inner().1;
        let text = String::from_utf8_lossy(&bytes[..start_of_marker]).into_owned();
        Ok((text, Mark(mark.0 + end as u64)))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// An event of `audit.k8s.io/v1`, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    stage_timestamp: jiff::Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

/// `None` for a line that is not a call of its own: the end of a watch, and our marks.
fn parse(line: &str) -> Result<Option<Call>> {
    let event: Event =
        serde_json::from_str(line).with_context(|| format!("failed to read the audit log at: {line}"))?;
    let answered = if event.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if event.stage != answered || event.request_uri.starts_with("/version?mark=") {
        return Ok(None);
    }
    let Object { mut resource, namespace, name, api_group, subresource } = event.object_ref;
    if resource.is_empty() {
        resource = event.request_uri;
    }
    let (user, code) = (event.user.username, event.response_status.code);
    Ok(Some(Call {
        user,
        verb: event.verb,
        group: api_group,
        resource,
        name,
        namespace,
        subresource,
        code,
        at: event.stage_timestamp,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_call() {
        let line = r#"{"kind":"Event","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/n/deployments/d/status",
            "verb":"patch","user":{"username":"op","groups":[]},"objectRef":{"resource":"deployments","namespace":"n","name":"d",
            "apiGroup":"apps","apiVersion":"v1","subresource":"status"},"responseStatus":{"metadata":{},"code":200},
            "stageTimestamp":"2025-01-02T03:04:05.678901Z"}"#;
        let call = parse(line).unwrap().unwrap();
        assert!(call.is_write());
        assert_eq!(
            (call.user.as_str(), call.verb.as_str(), call.group.as_str(), call.resource.as_str()),
            ("op", "patch", "apps", "deployments")
        );
        assert_eq!((call.namespace.as_str(), call.name.as_str(), call.subresource.as_str()), ("n", "d", "status"));
        assert_eq!(call.code, 200);
        assert!(parse(&line.replace("ResponseComplete", "ResponseStarted")).unwrap().is_none());
        assert!(parse("nonsense").is_err());
    }
}
