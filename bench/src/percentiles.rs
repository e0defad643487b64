//! Percentiles of measured times.

use std::time::Duration;

/// Microseconds, as measured.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<u32>);

impl Samples {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds at each of the given percentages; zeros when nothing was measured.
    pub(crate) fn percentiles<const N: usize>(&mut self, at: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        at.map(|percent| {
            let last = self.0.len().saturating_sub(1);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index between 0 and last")]
            let index = (percent / 100.0 * last as f64).round() as usize;
            self.0.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let mut samples = Samples::default();
        for i in (0..=100).rev() {
            samples.add(Duration::from_millis(i));
        }
        assert!(
            samples
                .percentiles([0.0, 50.0, 99.0, 100.0])
                .iter()
                .zip([0.0, 50.0, 99.0, 100.0])
                .all(|(a, b)| (a - b).abs() < 0.001)
        );
        assert!(Samples::default().percentiles([50.0])[0].abs() < f64::EPSILON);
    }
}
