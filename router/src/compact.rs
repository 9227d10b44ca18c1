//! Compaction: one batch's writes in as few statements as possible, with the same outcome as one by one.
//!
//! Writes of one key are merged only when both create rows or both need one, group by group, the newest version winning and the
//! later one among equals. Nothing is merged across a delete, a void or a clear, nor an update with an upsert: whether an
//! update finds its row depends on what the ledger says of the upsert, which only the subscriber's database knows. Nor are two
//! records' values of one group: the newer record may be one that was revoked before it came, and then the older one is written.

use std::collections::HashMap;

use lienthong_contract::keys::KeyHash;
use lienthong_contract::sink::{Action, GroupWrite, KeyWrite};

/// Collects writes in their order and gives out rounds: inside a round no key of a table occurs twice.
#[derive(Debug, Default)]
pub(crate) struct Compactor<'a> {
    rounds: Vec<Vec<KeyWrite<'a>>>,
    last: HashMap<(usize, KeyHash), (usize, usize)>,
}

impl<'a> Compactor<'a> {
    /// Adds the next write.
    pub(crate) fn push(&mut self, write: KeyWrite<'a>) {
        let key = (write.table, write.key_hash);
        let round = match self.last.get(&key) {
            None => 0,
            Some(&(round, index)) => match merge(&mut self.rounds[round][index].action, &write.action) {
                true => return,
                false => round + 1,
            },
        };
        if round == self.rounds.len() {
            self.rounds.push(Vec::new());
        }
        self.last.insert(key, (round, self.rounds[round].len()));
        self.rounds[round].push(write);
    }

    /// The rounds, in order.
    #[must_use]
    pub(crate) fn finish(self) -> Vec<Vec<KeyWrite<'a>>> {
        self.rounds
    }
}

fn merge<'a>(into: &mut Action<'a>, next: &Action<'a>) -> bool {
    match (into, next) {
        (Action::Upsert(into), Action::Upsert(next)) | (Action::Update(into), Action::Update(next))
            if same_records(into, next) =>
        {
            merge_groups(into, next);
            true
        }
        _ => false,
    }
}

fn same_records(one: &[GroupWrite<'_>], other: &[GroupWrite<'_>]) -> bool {
    let differs = |write: &GroupWrite<'_>| {
        one.iter().any(|known| known.group == write.group && known.record != write.record)
    };
    !other.iter().any(differs)
}

fn merge_groups<'a>(into: &mut Vec<GroupWrite<'a>>, next: &[GroupWrite<'a>]) {
    for write in next {
        match into.iter_mut().find(|known| known.group == write.group) {
            Some(known) if known.version <= write.version => *known = *write,
            Some(_) => {}
            None => into.push(*write),
        }
    }
}
