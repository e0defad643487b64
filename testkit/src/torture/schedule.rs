//! Which fault happens when: the same for the same seed, on every machine and in every version.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};

/// From one fault to the next.
const SPACING_MS: std::ops::Range<u64> = 10_000..15_000;
/// Room for a fault at the end, besides the cool-down.
const LONGEST: Duration = Duration::from_secs(8);

/// How much of a run is undisturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// Before the first fault: what undisturbed looks like.
    pub warm_up: Duration,
    /// After the last fault, with the load going on.
    pub cool_down: Duration,
}

impl Tempo {
    /// For a run that is to show that nothing breaks.
    pub const USUAL: Self = Self { warm_up: Duration::from_secs(10), cool_down: Duration::from_secs(15) };
    /// For a run that is to show one thing quickly.
    pub const HASTY: Self = Self { warm_up: Duration::from_secs(3), cool_down: Duration::from_secs(3) };
}

/// What a fault is done to; two faults at a time are never done to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Core,
    Worker,
    Gateway,
    MariaDb,
    Kafka,
    Redis,
    Clients,
    Network,
}

pub(super) const VICTIMS: usize = Victim::Network as usize + 1;

macro_rules! faults {
    ($($fault:ident $name:literal $victim:ident $shortest:literal..$longest:literal $help:literal,)*) => {
        /// Everything that can be done to the platform.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $(#[doc = $help] $fault,)*
        }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$fault,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)* }
            }

            pub fn victim(self) -> Victim {
                match self { $(Self::$fault => Victim::$victim,)* }
            }

            pub fn help(self) -> &'static str {
                match self { $(Self::$fault => $help,)* }
            }

            /// How long it lasts, in milliseconds.
            fn lasts(self) -> std::ops::Range<u64> {
                match self { $(Self::$fault => $shortest..$longest,)* }
            }
        }
    };
}

faults! {
    KillCore "kill-core" Core 200..3000 "one core: kill -9, started again",
    KillWorker "kill-worker" Worker 200..3000 "one worker: kill -9, started again",
    KillGateway "kill-gateway" Gateway 200..3000 "one gateway: kill -9, started again",
    JumpCoreClock "jump-core-clock" Core 4000..9000 "the clock of one core is ten minutes ahead, and then right again",
    JumpGatewayClock "jump-gateway-clock" Gateway 4000..9000 "the clock of one gateway is ten minutes ahead, and then right again",
    FreezeCore "freeze-core" Core 3000..8000 "one core: SIGSTOP, SIGCONT",
    FreezeWorker "freeze-worker" Worker 3000..8000 "one worker: SIGSTOP, SIGCONT",
    FreezeGateway "freeze-gateway" Gateway 3000..8000 "one gateway: SIGSTOP, SIGCONT",
    DrainGateway "drain-gateway" Gateway 200..1000 "one gateway: orderly restart, as in a rolling upgrade",
    ScaleWorkers "scale-workers" Worker 4000..7000 "one worker leaves, then there are five, then two",
    CutCommit "cut-commit" Core 3000..6000 "one core is cut off from MariaDB again and again, in the middle of what it says",
    TwoRelays "two-relays" Core 4000..8000 "the leases on the outbox change hands all the time: two relays on each shard",
    KillMariaDb "kill-mariadb" MariaDb 500..4000 "MariaDB: kill -9, started again",
    FreezeMariaDb "freeze-mariadb" MariaDb 3000..8000 "MariaDB: SIGSTOP, SIGCONT",
    FillMariaDb "fill-mariadb" MariaDb 4000..8000 "MariaDB's disk is full",
    ReadOnlyMariaDb "readonly-mariadb" MariaDb 3000..6000 "MariaDB refuses writes",
    LockMariaDb "lock-mariadb" MariaDb 3000..6000 "somebody holds the locks on all conversations",
    SlowMariaDb "slow-mariadb" MariaDb 3000..6000 "MariaDB's answers take up to half a second each",
    DeafCoreMariaDb "deaf-core-mariadb" MariaDb 3000..8000 "cores reach MariaDB, its answers do not come back",
    KillKafka "kill-kafka" Kafka 500..4000 "Kafka: kill -9, started again",
    FreezeKafka "freeze-kafka" Kafka 3000..8000 "Kafka: SIGSTOP, SIGCONT",
    FillKafka "fill-kafka" Kafka 3000..6000 "Kafka's disk is full, which it does not survive; started again when there is room",
    KillBroker "kill-broker" Kafka 6000..12000 "one of three brokers: kill -9, the others lead its partitions; started again, it leads them again",
    PoisonTopic "poison-topic" Kafka 10..20 "somebody writes records that nobody can read onto the topics of messages, records and ingest",
    KillRedis "kill-redis" Redis 500..4000 "Redis: kill -9, started again empty",
    FlushRedis "flush-redis" Redis 10..20 "Redis: FLUSHALL",
    FreezeRedis "freeze-redis" Redis 4000..8000 "Redis: SIGSTOP, SIGCONT",
    TrimStream "trim-stream" Redis 10..20 "every entry of one gateway's stream is trimmed away, five times",
    ResetClients "reset-clients" Clients 10..20 "all clients are cut off at once and come back at once",
    HalfOpenClients "half-open-clients" Clients 10..20 "a third of the clients leave without a word, their connections stay open",
    CutGatewayCore "cut-gateway-core" Network 2000..6000 "no gateway reaches core: connections are cut and refused",
    DeafGatewayCore "deaf-gateway-core" Network 3000..8000 "gateways reach core, its answers do not come back",
    CutGatewayRedis "cut-gateway-redis" Network 2000..6000 "no gateway reaches Redis: connections are cut and refused",
    DeafGatewayRedis "deaf-gateway-redis" Network 3000..8000 "gateways reach Redis, its answers do not come back",
    DeafWorkerRedis "deaf-worker-redis" Network 3000..8000 "workers reach Redis, its answers do not come back",
    IsolateGateway "isolate-gateway" Network 15000..20000 "one gateway reaches neither core nor Redis for long; the other goes on",
}

impl Fault {
    /// It takes more than one broker.
    pub fn is_of_many_brokers(self) -> bool {
        self == Self::KillBroker
    }

    /// It takes servers with disks of their own.
    pub fn is_of_a_disk(self) -> bool {
        matches!(self, Self::FillMariaDb | Self::FillKafka)
    }

    /// It takes processes whose clocks can be set.
    pub fn is_of_a_clock(self) -> bool {
        matches!(self, Self::JumpCoreClock | Self::JumpGatewayClock)
    }

    /// It is done to one gateway only, and nobody else has an excuse.
    pub fn is_of_one_gateway(self) -> bool {
        matches!(
            self,
            Self::KillGateway | Self::FreezeGateway | Self::DrainGateway | Self::TrimStream | Self::IsolateGateway
        )
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(found) = Self::ALL.iter().find(|fault| fault.name() == text) {
            return Ok(*found);
        }
        let names: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
        bail!("there is no fault {text:?}; there are: all, {}", names.join(", "))
    }
}

/// Faults that happen together, one shortly after the other.
pub type Group = Vec<Fault>;

/// `all`, or names separated by commas; `one+other` always happen together.
pub fn parse_groups(text: &str) -> Result<Vec<Group>> {
    if text == "all" {
        return Ok(Fault::ALL.iter().map(|fault| vec![*fault]).collect());
    }
    let group = |names: &str| names.split('+').map(str::trim).map(Fault::from_str).collect();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(group).collect()
}

/// One fault and its heal, in time since the start of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at: Duration,
    pub heal: Duration,
    pub fault: Fault,
    /// Which of several processes of a kind, counted round.
    pub target: usize,
}

/// `SplitMix64`: small, and the same for ever.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Within `range`, which is not empty.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.roll() % (range.end - range.start).max(1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll() % (len as u64).max(1)).unwrap_or_default()
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }
}

/// A fault every 10 to 15 s between warm-up and cool-down; a third of them in company. Every group has its turn before
/// one comes a second time. At least one group happens, however short the run.
pub fn plan(seed: u64, duration: Duration, tempo: Tempo, groups: &[Group]) -> Vec<Planned> {
    let mut dice = Dice::new(seed);
    let mut planned = Vec::new();
    if groups.is_empty() {
        return planned;
    }
    let mut bag: Vec<&Group> = Vec::new();
    let last = duration.saturating_sub(tempo.cool_down + LONGEST);
    let mut at = tempo.warm_up;
    while planned.is_empty() || at <= last {
        if bag.is_empty() {
            bag = groups.iter().collect();
        }
        let mut together = bag.swap_remove(dice.index(bag.len())).clone();
        let company = bag.iter().position(|other| apart(&together, other));
        if let (true, Some(company)) = (together.len() == 1 && dice.chance(33), company) {
            together.extend(bag.swap_remove(company));
        }
        let mut begin = at;
        for fault in together {
            let heal = begin + Duration::from_millis(dice.within(fault.lasts()));
            planned.push(Planned { at: begin, heal, fault, target: dice.index(2) });
            begin += Duration::from_millis(dice.within(100..2000));
        }
        at += Duration::from_millis(dice.within(SPACING_MS));
    }
    planned
}

fn apart(one: &[Fault], other: &[Fault]) -> bool {
    let victims: BTreeSet<Victim> = one.iter().map(|fault| fault.victim()).collect();
    other.iter().all(|fault| !victims.contains(&fault.victim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Duration = Duration::from_mins(5);

    #[test]
    fn the_same_seed_is_the_same_schedule_and_another_seed_another() {
        let groups = parse_groups("all").unwrap();
        assert_eq!(plan(7, RUN, Tempo::USUAL, &groups), plan(7, RUN, Tempo::USUAL, &groups));
        assert_ne!(plan(7, RUN, Tempo::USUAL, &groups), plan(8, RUN, Tempo::USUAL, &groups));
    }

    #[test]
    fn faults_stay_between_warm_up_and_cool_down_and_heal() {
        for seed in 0..50 {
            for planned in plan(seed, RUN, Tempo::USUAL, &parse_groups("all").unwrap()) {
                assert!(planned.at >= Tempo::USUAL.warm_up && planned.heal > planned.at, "{planned:?}");
                let until = (RUN + Duration::from_secs(15)).saturating_sub(Tempo::USUAL.cool_down);
                assert!(planned.heal <= until, "{planned:?}");
            }
        }
    }

    #[test]
    fn every_fault_has_its_turn_and_some_have_company() {
        let planned = plan(1, Duration::from_mins(10), Tempo::USUAL, &parse_groups("all").unwrap());
        let faults: BTreeSet<Fault> = planned.iter().map(|planned| planned.fault).collect();
        assert_eq!(faults.len(), Fault::ALL.len());
        let together = planned.windows(2).filter(|two| two[1].at < two[0].at + Duration::from_secs(3)).count();
        assert!(together > 3, "{together}");
    }

    #[test]
    fn names_pick_faults_and_a_plus_keeps_them_together() {
        let groups = parse_groups("kill-worker, flush-redis,freeze-kafka+kill-core").unwrap();
        assert_eq!(
            groups,
            [vec![Fault::KillWorker], vec![Fault::FlushRedis], vec![Fault::FreezeKafka, Fault::KillCore]]
        );
        assert!(parse_groups("kill-everything").unwrap_err().to_string().contains("kill-gateway"));
        for seed in 0..20 {
            let planned =
                plan(seed, Duration::from_secs(30), Tempo::USUAL, &parse_groups("freeze-kafka+kill-core").unwrap());
            assert_eq!(planned[0].fault, Fault::FreezeKafka);
            assert_eq!(planned[1].fault, Fault::KillCore);
        }
    }
}
