//! The first frame: which version is spoken, who the client is, how often each side gives a sign of life, and where a
//! resuming client goes on.

use std::{fmt, time::Duration};

use bytes::Bytes;
use chatcluster_contracts::{
    position::{self, Resume},
    problem::Code,
};

use super::{
    encoder::{self, ErrorFrame},
    frame::{Frame, Headers, Version},
};

/// One side's `heart-beat` header, in milliseconds: how often it can send, and how often it wants to hear. 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeartBeat {
    pub sends: u32,
    pub wants: u32,
}

impl HeartBeat {
    /// `<sends>,<wants>`
    pub fn parse(text: &str) -> Option<Self> {
        let (sends, wants) = text.split_once(',')?;
        Some(Self { sends: sends.trim().parse().ok()?, wants: wants.trim().parse().ok()? })
    }
}

impl fmt::Display for HeartBeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.sends, self.wants)
    }
}

/// What was agreed on. `None`: no heart-beats that way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beats {
    /// The client is to hear something from us at least this often.
    pub send_every: Option<Duration>,
    /// We are to hear something from the client at least this often; it deserves a margin.
    pub expect_every: Option<Duration>,
}

/// Chapter "Heart-beating": each way the slower of what one side can do and the other wants, or nothing if either says 0.
pub fn beats(ours: HeartBeat, theirs: HeartBeat) -> Beats {
    let agree = |can: u32, want: u32| (can != 0 && want != 0).then(|| Duration::from_millis(u64::from(can.max(want))));
    Beats { send_every: agree(ours.sends, theirs.wants), expect_every: agree(theirs.sends, ours.wants) }
}

/// Why no session begins. The text is fit for an ERROR frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectRefused {
    #[error("the first frame must be CONNECT or STOMP")]
    NotConnect,
    #[error("none of the versions in accept-version is supported; supported are 1.2, 1.1 and 1.0")]
    NoCommonVersion,
    #[error("the heart-beat header is not two numbers of milliseconds")]
    HeartBeat,
    #[error("the position header is not one that this platform handed out")]
    Position,
}

impl ConnectRefused {
    pub const fn code(self) -> Code {
        match self {
            Self::NotConnect => Code::NotConnected,
            Self::NoCommonVersion => Code::BadRequest,
            Self::HeartBeat | Self::Position => Code::InvalidField,
        }
    }

    /// The ERROR frame that tells it (chapter "Protocol Negotiation").
    pub fn to_error_frame(self) -> Bytes {
        let text = self.to_string();
        let version = if self == Self::NoCommonVersion { &[("version", "1.0,1.1,1.2")][..] } else { &[] };
        let headers: Vec<_> = [("code", self.code().as_str())].into_iter().chain(version.iter().copied()).collect();
        encoder::error(Version::V1_0, &ErrorFrame { message: &text, receipt_id: None, headers: &headers, body: &text })
    }
}

/// A client that wants a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    pub version: Version,
    pub heart_beat: HeartBeat,
    /// The virtual host; clients of 1.1 and 1.2 must name one, and most do not.
    pub host: Option<String>,
    pub login: Option<String>,
    /// What the client last received, per conversation.
    pub resume: Resume,
    passcode: Option<String>,
    /// A token from a header of its own.
    token: Option<String>,
}

/// Passcode and token stay out of logs.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("heart_beat", &self.heart_beat)
            .field("host", &self.host)
            .field("login", &self.login)
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

impl Connect {
    pub fn read(frame: &Frame) -> Result<Self, ConnectRefused> {
        if !frame.command.is_connect() {
            return Err(ConnectRefused::NotConnect);
        }
        let headers = &frame.headers;
        let text = |name| headers.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        Ok(Self {
            version: negotiate(headers.get("accept-version"))?,
            heart_beat: match headers.get("heart-beat") {
                Some(header) => HeartBeat::parse(header).ok_or(ConnectRefused::HeartBeat)?,
                None => HeartBeat::default(),
            },
            host: text("host"),
            login: text("login"),
            resume: match headers.get("position").filter(|position| !position.is_empty()) {
                Some(positions) => resume(positions)?,
                None => Resume::new(),
            },
            passcode: text("passcode"),
            token: token(headers),
        })
    }

    /// The access token: an `Authorization` or `token` header, or else the passcode.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref().or(self.passcode.as_deref())
    }

    /// True if the client gave exactly this login and passcode: for the well-known one of the conformance mode. It is
    /// compared as text is, so it is no place for a secret.
    pub fn is_login(&self, login: &str, passcode: &str) -> bool {
        self.login.as_deref() == Some(login) && self.passcode.as_deref() == Some(passcode)
    }
}

/// The highest version that both speak. Who names none speaks 1.0.
fn negotiate(accept_version: Option<&str>) -> Result<Version, ConnectRefused> {
    accept_version
        .unwrap_or("1.0")
        .split(',')
        .filter_map(|version| Version::parse(version.trim()))
        .max()
        .ok_or(ConnectRefused::NoCommonVersion)
}

/// One position, or several separated by commas: of each conversation the highest seq counts.
fn resume(positions: &str) -> Result<Resume, ConnectRefused> {
    let mut all = Resume::new();
    for position in positions.split(',') {
        for (conversation, seq) in position::decode(position.trim()).map_err(|_| ConnectRefused::Position)? {
            let known = all.entry(conversation).or_insert(seq);
            *known = seq.max(*known);
        }
    }
    Ok(all)
}

/// Clients write the name of the HTTP header as they like, and some leave the scheme away.
fn token(headers: &Headers) -> Option<String> {
    let authorization = headers.get_ignoring_case("authorization").map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value.trim(),
    });
    authorization.or_else(|| headers.get("token")).filter(|token| !token.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{super::frame::Command, *};

    fn connect(headers: &[(&str, &str)]) -> Result<Connect, ConnectRefused> {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.push(name, value);
        }
        Connect::read(&Frame { command: Command::Connect, headers: all, body: Bytes::new() })
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        assert_eq!(connect(&[]).unwrap().version, Version::V1_0);
        assert_eq!(connect(&[("accept-version", "1.0,1.2,1.1")]).unwrap().version, Version::V1_2);
        assert_eq!(connect(&[("accept-version", "1.1, 1.0")]).unwrap().version, Version::V1_1);
        assert_eq!(connect(&[("accept-version", "2.0,1.1")]).unwrap().version, Version::V1_1);
        let refused = connect(&[("accept-version", "2.0")]).unwrap_err();
        let frame = refused.to_error_frame();
        assert!(std::str::from_utf8(&frame).unwrap().contains("\nversion:1.0,1.1,1.2\n"), "{frame:?}");
    }

    #[test]
    fn each_side_gives_what_it_can_and_the_other_wants() {
        let ours = HeartBeat { sends: 1000, wants: 10_000 };
        let agreed = |text| {
            let beats = beats(ours, HeartBeat::parse(text).unwrap());
            (beats.send_every.map(|d| d.as_millis()), beats.expect_every.map(|d| d.as_millis()))
        };
        assert_eq!(agreed("0,0"), (None, None));
        assert_eq!(agreed("10000,10000"), (Some(10_000), Some(10_000)));
        assert_eq!(agreed("60000,1"), (Some(1000), Some(60_000)));
        assert_eq!(agreed("1, 0"), (None, Some(10_000)));
        assert_eq!(beats(HeartBeat::default(), HeartBeat { sends: 1, wants: 1 }), beats(ours, HeartBeat::default()));
        for bad in ["", "1", "1,2,3", "-1,0", "a,b", "5000000000,0"] {
            assert_eq!(connect(&[("heart-beat", bad)]), Err(ConnectRefused::HeartBeat), "{bad:?}");
        }
    }

    #[test]
    fn a_token_may_stand_in_several_places() {
        let token = |headers: &[(&str, &str)]| connect(headers).unwrap().token().map(str::to_owned);
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[("login", "u"), ("passcode", "jwt")]).as_deref(), Some("jwt"));
        assert_eq!(token(&[("passcode", "p"), ("Authorization", "Bearer jwt")]).as_deref(), Some("jwt"));
        assert_eq!(token(&[("authorization", "bearer  jwt ")]).as_deref(), Some("jwt"));
        assert_eq!(token(&[("authorization", "jwt")]).as_deref(), Some("jwt"));
        assert_eq!(token(&[("token", "jwt"), ("passcode", "")]).as_deref(), Some("jwt"));
    }

    #[test]
    fn a_static_login_must_be_exact() {
        let guest = connect(&[("login", "guest"), ("passcode", "guest")]).unwrap();
        assert!(guest.is_login("guest", "guest"));
        assert!(
            !guest.is_login("guest", "guestx") && !guest.is_login("guest", "gues") && !guest.is_login("x", "guest")
        );
        assert!(!connect(&[("login", "guest")]).unwrap().is_login("guest", "guest"));
    }

    #[test]
    fn a_position_resumes_and_secrets_are_not_shown() {
        let connected = connect(&[("position", "1;c1=7"), ("passcode", "s3cret"), ("token", "s3cret")]).unwrap();
        assert_eq!(connected.resume.len(), 1);
        assert!(!format!("{connected:?}").contains("s3cret"));
        assert_eq!(connect(&[("position", "9;x")]), Err(ConnectRefused::Position));
        let merged = connect(&[("position", "1;c1=7;c2=1, 1;c1=5;c3=2,1;c2=4")]).unwrap().resume;
        assert_eq!(position::encode(&merged), "1;c1=7;c2=4;c3=2");
    }
}
