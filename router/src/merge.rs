//! The rounds of several lanes as the rounds of one transaction.
//!
//! Inside a lane writes of one key keep their order. Between lanes there is none: the version guard lets the newest win, whichever
//! comes first. Nothing is merged into one write here, because that relies on the order inside one lane (`compact`).

use std::collections::HashMap;

use lienthong_contract::keys::KeyHash;
use lienthong_contract::sink::KeyWrite;

/// Joins rounds: every write stands in its own round or a later one, behind all writes of its key that came before it, so that inside a
/// round no key of a table occurs twice.
#[must_use]
pub(crate) fn merge<'a>(mut lanes: Vec<Vec<Vec<KeyWrite<'a>>>>) -> Vec<Vec<KeyWrite<'a>>> {
    lanes.retain(|rounds| !rounds.is_empty());
    if lanes.len() < 2 {
        return lanes.pop().unwrap_or_default();
    }
    let mut merged: Vec<Vec<KeyWrite<'a>>> = Vec::new();
    let mut free: HashMap<(usize, KeyHash), usize> = HashMap::new();
    for rounds in lanes {
        for (own, writes) in rounds.into_iter().enumerate() {
            for write in writes {
                let next = free.entry((write.table, write.key_hash)).or_default();
                let round = own.max(*next);
                *next = round + 1;
                if merged.len() <= round {
                    merged.resize_with(round + 1, Vec::new);
                }
                merged[round].push(write);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use lienthong_contract::sink::Action;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A write of a key that can be told from all others by its version.
    fn write(key: u8, version: &str) -> KeyWrite<'_> {
        let action = Action::Delete { version, revokes: None };
        KeyWrite { table: usize::from(key % 2), key_hash: KeyHash([key / 2; 16]), key: &[], action }
    }

    fn version<'a>(write: &KeyWrite<'a>) -> &'a str {
        match write.action {
            Action::Delete { version, .. } => version,
            _ => panic!("only deletes"),
        }
    }

    /// Keys of each round of each lane; inside a round none occurs twice.
    fn lanes() -> impl Strategy<Value = Vec<Vec<BTreeSet<u8>>>> {
        vec(vec(proptest::collection::btree_set(0_u8..12, 0..8), 0..4), 0..5)
    }

    proptest! {
        #[test]
        fn no_write_is_lost_none_is_doubled_and_a_lanes_order_of_each_key_stays(keys in lanes()) {
            let mut names = BTreeMap::new();
            for (lane, rounds) in keys.iter().enumerate() {
                for (round, keys) in rounds.iter().enumerate() {
                    for key in keys {
                        names.insert((lane, round, *key), format!("{lane} {round} {key}"));
                    }
                }
            }
            let rounds = |(lane, rounds): (usize, &Vec<BTreeSet<u8>>)| -> Vec<Vec<KeyWrite<'_>>> {
                let writes = |(round, keys): (usize, &BTreeSet<u8>)| {
                    keys.iter().map(|key| write(*key, &names[&(lane, round, *key)])).collect()
                };
                rounds.iter().enumerate().map(writes).collect()
            };
            let merged = merge(keys.iter().enumerate().map(rounds).collect());
            let mut places = BTreeMap::new();
            for (round, writes) in merged.iter().enumerate() {
                let mut seen = BTreeSet::new();
                for write in writes {
                    prop_assert!(seen.insert((write.table, write.key_hash)), "a key twice in round {round}");
                    prop_assert!(places.insert(version(write), round).is_none(), "{} twice", version(write));
                }
            }
            prop_assert_eq!(places.len(), names.len());
            for ((lane, round, key), name) in &names {
                let place = places[name.as_str()];
                prop_assert!(place >= *round, "{name} comes before its round");
                for later in *round + 1..4 {
                    if let Some(name) = names.get(&(*lane, later, *key)) {
                        prop_assert!(places[name.as_str()] > place, "{name} is overtaken");
                    }
                }
            }
            let longest: usize = keys.iter().map(Vec::len).sum();
            prop_assert!(merged.len() <= longest, "{} rounds", merged.len());
        }
    }

    #[test]
    fn lanes_without_a_common_key_need_no_more_rounds_than_the_longest() {
        let one = vec![vec![write(0, "a"), write(2, "b")], vec![write(0, "c")]];
        let two = vec![vec![write(4, "d")]];
        let merged = merge(vec![Vec::new(), one, two]);
        let told: Vec<Vec<&str>> = merged.iter().map(|round| round.iter().map(version).collect()).collect();
        assert_eq!(told, [vec!["a", "b", "d"], vec!["c"]]);
    }
}
