//! `@username` in the text of a message.

use std::collections::BTreeSet;

use super::account::Username;

/// Names looked up for one message.
const MAX_NAMES: usize = 20;

/// The names that a text may mean, each once. A name may end in a dot, as a sentence does: both readings are answered, and
/// who is a member decides. An `@` within a word is part of an address and means nobody.
pub fn mentioned(text: &str) -> BTreeSet<Username> {
    let mut names = BTreeSet::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let begins = c == '@' && !before.is_some_and(|c: char| c.is_alphanumeric() || "._-@".contains(c));
        before = Some(c);
        if !begins {
            continue;
        }
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(rest.len());
        let name = &rest[..end];
        for name in [name, name.trim_end_matches(['.', '_', '-'])] {
            names.extend(Username::parse(name));
        }
        if names.len() >= MAX_NAMES {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        mentioned(text).iter().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn names_stand_at_the_beginning_of_a_word() {
        assert_eq!(names("@ann, (@Bob.B) and @ann again: @cem!"), ["ann", "bob.b", "cem"]);
        assert_eq!(names("mail ann@example.org or a@b, @@ann, @ or @ä"), [""; 0]);
        assert_eq!(names("thanks @dan."), ["dan", "dan."], "both readings");
    }

    #[test]
    fn a_text_of_names_is_not_looked_up_whole() {
        let text = (0..5_000).map(|i| format!("@user{i}")).collect::<Vec<_>>().join(" ");
        assert!(names(&text).len() <= MAX_NAMES + 1);
    }
}
