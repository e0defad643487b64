//! Who may sign up: rules for user names, passwords and display names.

use chatcluster_contracts::problem::{Code, Problem};

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidField, detail)
}

/// 3 to 32 of `a-z 0-9 . _ -`, starting with a letter or digit; capital letters are lowered, so that two people cannot
/// differ by case alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(String);

impl Username {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let name = text.to_ascii_lowercase();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if !(3..=32).contains(&name.len()) {
            return Err(invalid("username has 3 to 32 characters"));
        }
        if !name.chars().all(allowed) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(invalid("username consists of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit"));
        }
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 8 to 256 bytes: short ones are guessed, huge ones keep the hash busy.
pub fn check_password(password: &str) -> Result<(), Problem> {
    if (8..=256).contains(&password.len()) { Ok(()) } else { Err(invalid("password has 8 to 256 bytes")) }
}

/// 1 to 100 characters without controls; surrounding space is dropped.
pub fn display_name(text: &str) -> Result<String, Problem> {
    named("displayName", text)
}

/// The same rule for the names of conversations.
pub fn named(field: &str, text: &str) -> Result<String, Problem> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(invalid(format!("{field} has 1 to 100 characters and no control characters")));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_more_than_case() {
        assert_eq!(Username::parse("Ann.B").unwrap().as_str(), "ann.b");
        for bad in ["", "ab", ".ann", "ann b", "änn", "a\u{0}b", &"x".repeat(33)] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords_and_display_names_have_bounds() {
        assert!(check_password("1234567").is_err());
        assert!(check_password("correct horse").is_ok());
        assert!(check_password(&"x".repeat(257)).is_err());
        assert_eq!(display_name("  Ann ").unwrap(), "Ann");
        assert!(display_name("a\nb").is_err());
    }
}
