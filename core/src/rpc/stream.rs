//! `StreamCreateMessages`: sends are queued in the order they come and answered as they finish, each under its own
//! correlation. What is wrong with one is its own answer and ends nothing else.

use chatcluster_contracts::{
    problem::{Code, Problem},
    rpc::{
        StreamCreateMessagesRequest, StreamCreateMessagesResponse, stream_create_messages_response::Result as Answer,
    },
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::messages::{created, new_message};
use crate::{domain::message::Stored, store::Store, store::append::Pending};

/// Sends of one stream that wait for their answer; then the stream is not read further.
const IN_FLIGHT: usize = 1_024;

type Response = Result<StreamCreateMessagesResponse, Status>;

pub(super) fn create_messages(
    store: Store,
    requests: Streaming<StreamCreateMessagesRequest>,
    stop: CancellationToken,
) -> ReceiverStream<Response> {
    let (answers, answered) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(run(store, requests, answers, stop));
    ReceiverStream::new(answered)
}

async fn run(
    store: Store,
    mut requests: Streaming<StreamCreateMessagesRequest>,
    answers: mpsc::Sender<Response>,
    stop: CancellationToken,
) {
    let mut pending = FuturesUnordered::new();
    let mut open = true;
    while open || !pending.is_empty() {
        let answer = tokio::select! {
            Some((correlation, outcome)) = pending.next(), if !pending.is_empty() => answer(correlation, outcome),
            () = stop.cancelled(), if open => {
                open = false;
                continue;
            }
            request = requests.message(), if open && pending.len() < IN_FLIGHT => match request {
                Ok(Some(request)) => {
                    let correlation = request.correlation;
                    match queue(&store, request).await {
                        Ok(send) => {
                            pending.push(async move { (correlation, send.stored().await) });
                            continue;
                        }
                        Err(problem) => answer(correlation, Err(problem)),
                    }
                }
                Ok(None) => {
                    open = false;
                    continue;
                }
                Err(status) => {
                    tracing::debug!(%status, "stream of sends was lost");
                    open = false;
                    continue;
                }
            },
        };
        // Whoever left reads the results when it comes back with the same client message ids.
        if answers.send(Ok(answer)).await.is_err() {
            return;
        }
    }
}

async fn queue(store: &Store, request: StreamCreateMessagesRequest) -> Result<Pending, Problem> {
    let message = request.message.ok_or_else(|| Problem::new(Code::MissingField, "message is missing"))?;
    store.enqueue(new_message(message)?).await
}

fn answer(correlation: u64, outcome: Result<Stored, Problem>) -> StreamCreateMessagesResponse {
    let result = match outcome {
        Ok(stored) => Answer::Created(created(&stored)),
        Err(problem) => Answer::Problem(problem.to_rpc()),
    };
    StreamCreateMessagesResponse { correlation, result: Some(result) }
}
