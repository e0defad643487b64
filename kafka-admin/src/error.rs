//! What can go wrong, sorted by what to do about it.

use rdkafka::types::RDKafkaErrorCode as Code;

/// Why a request had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Worth trying again later: brokers are away, slow or busy with themselves.
    #[error("kafka is not available: {0}")]
    Unavailable(String),
    /// The same request will be refused again until somebody changes something.
    #[error("kafka refused ({reason}): {message}")]
    Refused { reason: Refusal, message: String },
    #[error("kafka does not know it: {0}")]
    NotFound(String),
    #[error("kafka has it already: {0}")]
    AlreadyExists(String),
}

/// Who or what has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// User, password or mechanism.
    Authentication,
    /// The user's ACLs.
    Authorization,
    /// The brokers' own rules, e.g. a policy on new topics.
    Policy,
    /// The request itself, or the options of the connection.
    Invalid,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Policy => "policy",
            Self::Invalid => "invalid",
        })
    }
}

/// What librdkafka or a broker said.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::InvalidArgument, message: message.into() }
    }

    /// `what` was being done, e.g. `creating topic a`.
    pub(crate) fn during(self, what: &str) -> Error {
        let said = if self.message.is_empty() { self.code.to_string() } else { self.message };
        let message = format!("{what}: {said}");
        let refused = |reason| Error::Refused { reason, message: message.clone() };
        match self.code {
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::GroupIdNotFound => Error::NotFound(message),
            Code::TopicAlreadyExists => Error::AlreadyExists(message),
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState => refused(Refusal::Authentication),
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                refused(Refusal::Authorization)
            }
            Code::PolicyViolation | Code::TopicDeletionDisabled => refused(Refusal::Policy),
            Code::InvalidArgument
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidReplicaAssignment
            | Code::InvalidConfig
            | Code::InvalidRequest
            | Code::InvalidGroupId
            | Code::NonEmptyGroup
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature => refused(Refusal::Invalid),
            _ => Error::Unavailable(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        let sorted = |code| Failure { code, message: "said".to_owned() }.during("doing x");
        assert_eq!(sorted(Code::OperationTimedOut), Error::Unavailable("doing x: said".to_owned()));
        assert_eq!(sorted(Code::UnknownTopicOrPartition), Error::NotFound("doing x: said".to_owned()));
        assert_eq!(sorted(Code::TopicAlreadyExists), Error::AlreadyExists("doing x: said".to_owned()));
        let reasons = [
            (Code::SaslAuthenticationFailed, Refusal::Authentication),
            (Code::ClusterAuthorizationFailed, Refusal::Authorization),
            (Code::PolicyViolation, Refusal::Policy),
            (Code::InvalidConfig, Refusal::Invalid),
        ];
        for (code, expected) in reasons {
            assert!(matches!(sorted(code), Error::Refused { reason, .. } if reason == expected), "{code}");
        }
    }

    #[test]
    fn where_nothing_was_said_the_code_speaks() {
        let error = Failure { code: Code::InvalidPartitions, message: String::new() }.during("growing topic a");
        assert!(error.to_string().contains("growing topic a: "), "{error}");
        assert!(!error.to_string().ends_with(": "), "{error}");
    }
}
