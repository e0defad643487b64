//! Waiting for something to become true. Tests wait on conditions, never for a fixed time.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at the condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `check` until it answers `Ok`, and returns that value. An `Err` is what was seen instead; when `timeout` has
/// passed, the error names `description` and the last of these observations.
pub async fn await_condition<T, E, F, Fut>(description: &str, timeout: Duration, mut check: F) -> Result<T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    let mut last = "nothing, the first check did not finish".to_owned();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        // A check that hangs (a frozen server accepts and never answers) must not outlive the deadline.
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(observed)) => last = format!("{observed:#}"),
            Err(_) => bail!("waited {timeout:?} for {description}; last seen: {last}, then a check that hung"),
        }
        if start.elapsed() >= timeout {
            bail!("waited {timeout:?} for {description}; last seen: {last}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_says_what_was_waited_for_and_what_was_seen() {
        let error = await_condition("the moon", Duration::from_millis(50), || async { Err::<(), _>("only clouds") })
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("the moon") && error.contains("only clouds"), "{error}");
    }

    #[tokio::test]
    async fn a_hanging_check_ends_with_the_timeout() {
        let check = || std::future::pending::<Result<(), String>>();
        let error = await_condition("an answer", Duration::from_millis(50), check).await.unwrap_err().to_string();
        assert!(error.contains("an answer") && error.contains("hung"), "{error}");
    }

    #[tokio::test]
    async fn the_value_is_handed_back() {
        let mut calls = 0;
        let value = await_condition("three", Duration::from_secs(5), || {
            calls += 1;
            let seen = calls;
            async move { if seen == 3 { Ok(seen) } else { Err(format!("{seen}")) } }
        });
        assert_eq!(value.await.unwrap(), 3);
    }
}
