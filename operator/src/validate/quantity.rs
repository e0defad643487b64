//! Amounts of CPU and memory in the one form in which the API server stores them. An object applied in another form
//! would differ from its live self for ever.
//!
//! Source of the rules: `k8s.io/apimachinery/pkg/api/resource`, "Quantity".

use std::{cmp::Ordering, fmt, str::FromStr};

/// A quantity, canonical: `500m`, `2`, `512Mi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    /// Billionths: the finest that Kubernetes knows.
    nanos: i128,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no quantity; write 500m, 2, 1.5Gi, 512Mi")]
pub struct QuantityError(String);

const NANO: i128 = 1_000_000_000;
/// Kubernetes goes no further.
const LARGEST: i128 = i64::MAX as i128 * NANO;
/// Suffixes of powers of 1000, from 10^-9.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Suffixes of powers of 1024, from 1024^1.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

impl Quantity {
    pub fn whole(number: i64) -> Self {
        let nanos = i128::from(number.max(0)) * NANO;
        Self { nanos, text: canonical(nanos, Form::Decimal) }
    }

    /// `None`: it has a fraction.
    pub fn whole_number(&self) -> Option<i128> {
        (self.nanos % NANO == 0).then_some(self.nanos / NANO)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos).then_with(|| self.text.cmp(&other.text))
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (nanos, form) = parse(text).ok_or_else(|| QuantityError(text.to_owned()))?;
        Ok(Self { nanos, text: canonical(nanos, form) })
    }
}

/// Negative amounts make no sense of a resource and are not read.
fn parse(text: &str) -> Option<(i128, Form)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') || number.len() > 40 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = i32::try_from(fraction.len()).ok()?;
    if let Some(power) = BINARY.iter().position(|known| *known == suffix) {
        let factor = 1024_i128.pow(u32::try_from(power).ok()? + 1);
        return Some((scaled(digits.checked_mul(factor)?, 9 - decimals)?, Form::Binary));
    }
    let (exponent, form) = match DECIMAL.iter().position(|known| *known == suffix) {
        Some(at) => (i32::try_from(at).ok()? * 3 - 9, Form::Decimal),
        None => (suffix.strip_prefix(['e', 'E'])?.parse().ok()?, Form::Exponent),
    };
    Some((scaled(digits, exponent.checked_add(9)?.checked_sub(decimals)?)?, form))
}

/// `digits` times 10 to the power of `exponent`, rounded up to whole.
fn scaled(digits: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    let value = match (digits, power) {
        (0, _) => 0,
        (_, Some(power)) if exponent >= 0 => digits.checked_mul(power)?,
        (_, Some(power)) => digits / power + i128::from(digits % power != 0),
        (_, None) if exponent < 0 => 1,
        (_, None) => return None,
    };
    (value <= LARGEST).then_some(value)
}

fn canonical(nanos: i128, form: Form) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    if form == Form::Binary && nanos >= 1024 * NANO {
        // bytes are whole
        let mut value = nanos / NANO + i128::from(nanos % NANO != 0);
        let mut power = 0;
        while value % 1024 == 0 && power < BINARY.len() {
            value /= 1024;
            power += 1;
        }
        let suffix = power.checked_sub(1).and_then(|at| BINARY.get(at)).copied().unwrap_or_default();
        return format!("{value}{suffix}");
    }
    let mut value = nanos;
    let mut at = 0;
    while value % 1000 == 0 && at + 1 < DECIMAL.len() {
        value /= 1000;
        at += 1;
    }
    if form != Form::Exponent {
        return format!("{value}{}", DECIMAL.get(at).copied().unwrap_or_default());
    }
    match i32::try_from(at).map_or(0, |at| at * 3 - 9) {
        0 => value.to_string(),
        exponent => format!("{value}e{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>().unwrap().to_string()
    }

    #[test]
    fn the_form_is_the_one_the_api_server_stores() {
        for (written, stored) in [
            ("0", "0"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("2", "2"),
            ("1000", "1k"),
            ("20000", "20k"),
            ("1024", "1024"),
            ("512Mi", "512Mi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1000Ki", "1000Ki"),
            ("1023.5Ki", "1048064"),
            ("100M", "100M"),
            ("1000M", "1G"),
            ("1e3", "1e3"),
            ("100e1", "1e3"),
            ("5e0", "5"),
            ("0.0001", "100u"),
            ("0.00000000001", "1n"),
            ("8191Pi", "8191Pi"),
        ] {
            assert_eq!(canonical(written), stored, "{written}");
        }
        assert_eq!(Quantity::whole(20_000).to_string(), "20k");
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for wrong in ["", ".", "m", "-1", "1.2.3", "1ki", "1K", "1 Gi", "1e", "9Ei", "1e99", "1x", "+1"] {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_compare_by_size_whatever_their_form() {
        let of = |text: &str| text.parse::<Quantity>().unwrap();
        assert!(of("1Gi") > of("1G"));
        assert!(of("1500m") < of("2"));
    }

    proptest::proptest! {
        #[test]
        fn the_canonical_form_is_its_own_and_as_much(
            whole in 0_u32..100_000, fraction in proptest::option::of(0_u32..100_000), suffix in 0_usize..20,
        ) {
            let suffixes = DECIMAL.iter().chain(&BINARY).copied().chain(["e2", "E3", "e0", "e4"]).collect::<Vec<_>>();
            let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
            let written = format!("{whole}{fraction}{}", suffixes[suffix % suffixes.len()]);
            if let Ok(quantity) = written.parse::<Quantity>() {
                let again: Quantity = quantity.as_str().parse().unwrap();
                proptest::prop_assert_eq!(again.as_str(), quantity.as_str());
                // bytes are rounded up, by less than one
                proptest::prop_assert!((0..NANO).contains(&(again.nanos - quantity.nanos)));
            }
        }
    }
}
