//! What a client's frame consists of: a command, headers, a body.

use std::fmt;

use bytes::Bytes;

/// The protocol version of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V1_0,
    V1_1,
    V1_2,
}

impl Version {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The version by its name in `accept-version`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::V1_2, Self::V1_1, Self::V1_0].into_iter().find(|version| version.as_str() == text)
    }
}

macro_rules! commands {
    ($($name:ident = $text:literal;)*) => {
        /// What a client may say.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Command { $($name,)* }

        impl Command {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

commands! {
    Connect = "CONNECT";
    Stomp = "STOMP";
    Send = "SEND";
    Subscribe = "SUBSCRIBE";
    Unsubscribe = "UNSUBSCRIBE";
    Ack = "ACK";
    Nack = "NACK";
    Begin = "BEGIN";
    Commit = "COMMIT";
    Abort = "ABORT";
    Disconnect = "DISCONNECT";
}

impl Command {
    /// Bytes of the longest command.
    pub const LONGEST: usize = Self::Unsubscribe.as_str().len();

    /// Commands are case-sensitive.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|command| command.as_str().as_bytes() == text)
    }

    /// The frame that opens a session; `STOMP` is its newer name.
    pub const fn is_connect(self) -> bool {
        matches!(self, Self::Connect | Self::Stomp)
    }

    /// Of a client's frames only SEND may carry a body (chapter "Body").
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Send)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Headers in the order in which they came, unescaped. All texts stand in one buffer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    text: String,
    /// Where a name ends, and where its value ends; the next name follows at once.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for `count` headers of `bytes` bytes together.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// Adds a header. Of a repeated one the first counts and the others are dropped (chapter "Repeated Header Entries").
    pub fn push(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.text.push_str(name);
            let name_end = self.text.len();
            self.text.push_str(value);
            self.ends.push((name_end, self.text.len()));
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The value of the first header whose name differs in nothing but case. STOMP's own headers are case-sensitive; those
    /// borrowed from HTTP, such as `Authorization`, are written either way.
    pub fn get_ignoring_case(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let header = (&self.text[start..name_end], &self.text[name_end..value_end]);
            start = value_end;
            header
        })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

/// Values stay out of logs: one of them may be a password or a token.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// One frame of a client, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub command: Command,
    pub headers: Headers,
    pub body: Bytes,
}

impl Frame {
    /// The receipt that the client asks for. CONNECT has none: CONNECTED answers it.
    pub fn receipt(&self) -> Option<&str> {
        if self.command.is_connect() { None } else { self.headers.get("receipt") }
    }
}
