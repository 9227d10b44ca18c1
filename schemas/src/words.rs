//! Words for people: numbers with their nouns, and ids in the order in which people count.

use std::fmt::Display;

/// `1 row`, `2 rows`: a count and what is counted, by its name for one.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let ending = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// The key by which ids of a letter and a number are sorted: `P2` before `P10`.
#[must_use]
pub fn by_number(id: &str) -> (usize, &str) {
    (id.len(), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_from_none_and_many() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "row")), ["0 rows", "1 row", "2 rows"]);
        assert_eq!(counted(1_usize, "kept version"), "1 kept version");
    }

    #[test]
    fn ids_are_in_the_order_of_their_numbers() {
        let mut ids = ["P1", "P10", "P2"];
        ids.sort_by_key(|id| by_number(id));
        assert_eq!(ids, ["P1", "P2", "P10"]);
    }
}
