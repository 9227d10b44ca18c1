//! What is wrong in a configuration file: where, and what to write instead.

use std::fmt;

use crate::shown::{without_numbers, without_values};

/// One finding in one file. Lines and columns count from 1; 0 means that the place is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    /// A problem at a place. What the message quotes in backticks and has not the form of a name is told by its kind and length: people
    /// write values where names belong.
    #[must_use]
    pub fn new(
        file: &str,
        (line, column): (u64, u64),
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (message, fix) = (without_values(&message.into()), without_numbers(&fix.into()));
        Problem { file: file.to_owned(), line, column, message, fix }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; fix: {}", self.file, self.line, self.column, self.message, self.fix)
    }
}

impl std::error::Error for Problem {}

/// The candidate that a misspelt name most likely meant, if one is near enough.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let bound = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace) between two names.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{Problem, nearest};

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let names = ["registration_no", "registered_on", "child.pin"];
        assert_eq!(nearest("registraton_no", names), Some("registration_no"));
        assert_eq!(nearest("child.pn", names), Some("child.pin"));
        assert_eq!(nearest("salary", names), None);
    }

    #[test]
    fn a_problem_reads_as_one_line() {
        let problem = Problem::new("catalogue.yaml", (3, 7), "unknown field", "use child.pin");
        assert_eq!(problem.to_string(), "catalogue.yaml:3:7: unknown field; fix: use child.pin");
    }
}
