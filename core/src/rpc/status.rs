//! Problems as gRPC statuses; the stable code travels in the metadata `problem-code`. And the bound on every call.

use std::{future::Future, str::FromStr, time::Duration};

use chatcluster_contracts::problem::{Code, Problem};
use tonic::{Code as Grpc, Status};

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn status(problem: &Problem) -> Status {
    let code = match problem.code.status() {
        401 => Grpc::Unauthenticated,
        403 => Grpc::PermissionDenied,
        404 => Grpc::NotFound,
        409 => Grpc::AlreadyExists,
        429 => Grpc::ResourceExhausted,
        503 => Grpc::Unavailable,
        500 => Grpc::Internal,
        _ => Grpc::InvalidArgument,
    };
    let mut status = Status::new(code, problem.detail.clone());
    if let Ok(code) = problem.code.as_str().parse() {
        status.metadata_mut().insert("problem-code", code);
    }
    status
}

/// Waits for the answer, but not for ever.
pub(super) async fn bounded<T, E: Into<Problem>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Status> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(answer) => answer.map_err(|error| status(&error.into())),
        Err(_) => Err(status(&Problem::new(Code::Unavailable, "this took too long; try again"))),
    }
}

/// A field that holds an id.
pub(super) fn id<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::new(Code::InvalidField, format!("{field}: {error}")))
}

pub(super) fn ids<T: FromStr<Err: std::fmt::Display>>(field: &str, texts: &[String]) -> Result<Vec<T>, Problem> {
    texts.iter().map(|text| id(field, text)).collect()
}
