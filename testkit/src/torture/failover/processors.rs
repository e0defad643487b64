//! Who had the processors: what each process of a deployment, this one and the whole machine used of them.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::Deployment;

/// Ticks a second in `/proc`, whatever the kernel's own are.
const TICKS: f64 = 100.0;

/// Processor time since the start of each, in seconds.
#[derive(Clone, Debug)]
pub(super) struct Used {
    at: Instant,
    by: BTreeMap<String, f64>,
}

/// Now. `clients` is this process, `machine` everything that runs.
pub(super) fn used(deployment: &Deployment) -> Used {
    let named = deployment.processes().filter_map(|process| Some((process.name().to_owned(), process.pid()?)));
    let mut by: BTreeMap<String, f64> =
        named.filter_map(|(name, pid)| Some((name, of_process(&read(&format!("/proc/{pid}/stat"))?)?))).collect();
    by.extend(read("/proc/self/stat").and_then(|text| of_process(&text)).map(|used| ("clients".into(), used)));
    by.extend(read("/proc/stat").and_then(|text| of_machine(&text)).map(|used| ("machine".into(), used)));
    Used { at: Instant::now(), by }
}

impl Used {
    /// How many processors each had at work on average since `before`, those that ended left out.
    pub(super) fn since(&self, before: &Self) -> BTreeMap<String, f64> {
        let seconds = (self.at - before.at).as_secs_f64().max(f64::MIN_POSITIVE);
        let both = self.by.iter().filter_map(|(name, now)| Some((name, now - before.by.get(name)?)));
        both.map(|(name, used)| (name.clone(), (used / seconds * 100.0).round() / 100.0)).collect()
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `utime` and `stime`, fields 14 and 15; the name before them may hold anything.
fn of_process(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

/// All of the first line but what is idle or waits for a disk.
fn of_machine(stat: &str) -> Option<f64> {
    let fields: Vec<f64> = stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
    let (idle, waiting) = (fields.get(3)?, fields.get(4)?);
    // the last two are in the first two already
    Some((fields.iter().take(8).sum::<f64>() - idle - waiting) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read() {
        assert_eq!(of_process("7 (a) b) S 1 7 7 0 -1 4 9 0 0 0 150 50 0 0 20 0"), Some(2.0));
        assert_eq!(of_machine("cpu  100 10 20 900 60 5 5 0 3 0\ncpu0 1 2\n"), Some(1.4));
        assert_eq!((of_process(""), of_machine("")), (None, None));
    }

    #[test]
    fn who_ended_in_between_is_left_out() {
        let at = Instant::now();
        let of = |at, used: &[(&str, f64)]| Used { at, by: used.iter().map(|(n, s)| ((*n).into(), *s)).collect() };
        let before = of(at, &[("core-0", 1.0), ("gateway-0", 5.0)]);
        let after = of(at + std::time::Duration::from_secs(2), &[("core-0", 2.0), ("worker-9", 1.0)]);
        assert_eq!(after.since(&before), BTreeMap::from([("core-0".into(), 0.5)]));
    }
}
