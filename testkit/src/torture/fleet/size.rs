//! How many take part, and how fast things happen.

/// How many take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    pub(super) members: usize,
    /// How many of the members send.
    pub(super) senders: usize,
    pub(super) late: usize,
    pub(super) short_tokens: usize,
    pub(super) sign_outs: usize,
    pub(super) churners: usize,
    pub(super) whisperers: usize,
    pub(super) listeners: usize,
    pub(super) outsiders: usize,
    pub(super) noisy: usize,
    pub(super) conversations: usize,
    /// Who visit the open rooms.
    pub(super) guests: usize,
    /// Who have user events, and two or three listeners each.
    pub(super) names: usize,
    /// After so many ms those connect that connect late.
    late_from: u64,
    late_until: u64,
    /// How long a short token is good, in seconds.
    pub(super) token_s: u64,
    /// After so many ms those sign out who do.
    sign_out_from: u64,
    sign_out_until: u64,
    /// Between two changes of members, two whispers and two loud messages.
    pub(super) churn_ms: u64,
    pub(super) whisper_ms: u64,
    pub(super) loud_ms: u64,
    /// How long a guest stays in a room, on average.
    pub(super) stay_ms: u64,
    /// Between two records of a service, two messages of another and two user events of one name.
    pub(super) record_ms: u64,
    pub(super) ingest_ms: u64,
    pub(super) user_event_ms: u64,
    /// Of those who are whispered to, so many reconnect at that very moment.
    pub(super) startled_percent: u64,
}

impl Size {
    /// For a run that is to show that nothing breaks.
    pub const FULL: Self = Self {
        members: 40,
        senders: 24,
        late: 4,
        short_tokens: 4,
        sign_outs: 3,
        churners: 8,
        whisperers: 4,
        listeners: 16,
        outsiders: 3,
        noisy: 7,
        conversations: 6,
        guests: 12,
        names: 6,
        late_from: 20_000,
        late_until: 50_000,
        token_s: 20,
        sign_out_from: 6_000,
        sign_out_until: 15_000,
        churn_ms: 700,
        whisper_ms: 400,
        loud_ms: 150,
        stay_ms: 8_000,
        record_ms: 70,
        ingest_ms: 200,
        user_event_ms: 250,
        startled_percent: 50,
    };
    /// For a run that is to show one thing quickly.
    pub const SMALL: Self = Self {
        members: 14,
        senders: 8,
        late: 2,
        short_tokens: 2,
        sign_outs: 1,
        churners: 3,
        whisperers: 2,
        listeners: 8,
        outsiders: 1,
        noisy: 5,
        conversations: 3,
        guests: 6,
        names: 4,
        late_from: 4_000,
        late_until: 8_000,
        token_s: 5,
        sign_out_from: 1_000,
        sign_out_until: 3_000,
        churn_ms: 200,
        whisper_ms: 200,
        loud_ms: 60,
        stay_ms: 1_500,
        record_ms: 40,
        ingest_ms: 80,
        user_event_ms: 100,
        startled_percent: 50,
    };
    /// The same, and who is whispered to stays: nothing but the gateway brings them back to where they are found.
    pub const CALM: Self = Self { startled_percent: 0, ..Self::SMALL };
    /// The same with many more whispers, of which few startle: what somebody missed while reconnecting is not made good by
    /// the next reconnect.
    pub const WHISPERED: Self = Self { whisper_ms: 50, startled_percent: 10, ..Self::SMALL };

    pub(super) fn late_ms(&self) -> std::ops::Range<u64> {
        self.late_from..self.late_until
    }

    pub(super) fn sign_out_ms(&self) -> std::ops::Range<u64> {
        self.sign_out_from..self.sign_out_until
    }
}
