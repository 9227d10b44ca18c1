//! Consumer groups: members and the lanes that they lease. Leases run by a clock that nobody can set.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::clock::BootClock;
use super::fault::Fault;
use super::file::immediate;
use super::topics::{Lane, lanes};
use crate::api::TopicPartition;

/// Who asks.
pub(super) struct Member {
    pub(super) group: String,
    pub(super) id: String,
    pub(super) topics: Vec<String>,
    pub(super) session_ms: i64,
    pub(super) clock: BootClock,
}

/// What a round found.
pub(super) struct Round {
    /// Lanes leased to this member after the round; all others are lost.
    pub(super) mine: BTreeMap<i64, Lane>,
    /// Leased lanes that another member should have: give them back when their work is done.
    pub(super) surplus: BTreeSet<i64>,
    /// Boot time at which the leases run out.
    pub(super) expires: i64,
}

impl Member {
    /// Renews, takes what is free and due, and says what to give back. `held` are the lanes that this member believes to
    /// have, `releasing` those of them whose work is done.
    pub(super) fn round(
        &self,
        sql: &mut Connection,
        held: &BTreeSet<i64>,
        releasing: &BTreeSet<i64>,
    ) -> Result<Round, Fault> {
        let transaction = immediate(sql)?;
        // Inside the lock: waiting for it may have taken long.
        let now = self.clock.now()?;
        let expires = now + self.session_ms;
        forget_expired(&transaction, &self.clock.boot, now)?;
        for lane in releasing {
            self.release(&transaction, *lane)?;
        }
        transaction
            .prepare_cached(
                "insert into member(grp, id, topics, boot, expires) values(?1, ?2, ?3, ?4, ?5)
                 on conflict(grp, id) do update set expires = excluded.expires, boot = excluded.boot",
            )?
            .execute(params![self.group, self.id, self.topics.join("\n"), self.clock.boot, expires])?;
        let members = members(&transaction, &self.group)?;
        let names: BTreeSet<&str> = members.values().flatten().map(String::as_str).collect();
        let lanes: BTreeMap<i64, Lane> =
            lanes(&transaction, names)?.into_iter().map(|lane| (lane.id, lane)).collect();
        let holders = holders(&transaction, &self.group)?;
        let due = share(&members, &lanes, &holders, &self.id);
        let mut mine = BTreeMap::new();
        let mut surplus = BTreeSet::new();
        for (id, lane) in lanes {
            let wanted = due.contains(&id);
            match holders.get(&id) {
                // A lease of ours that we do not know of is of a round whose answer was lost: it counts as free.
                Some(holder) if *holder == self.id && (held.contains(&id) || wanted) => {
                    if !wanted {
                        surplus.insert(id);
                    }
                    mine.insert(id, lane);
                }
                Some(holder) if *holder == self.id => self.release(&transaction, id)?,
                None if wanted => {
                    transaction
                        .prepare_cached(
                            "insert into lease(grp, lane, member, boot, expires) values(?1, ?2, ?3, ?4, ?5)",
                        )?
                        .execute(params![self.group, id, self.id, self.clock.boot, expires])?;
                    mine.insert(id, lane);
                }
                _ => {}
            }
        }
        transaction
            .prepare_cached("update lease set expires = ?3, boot = ?4 where grp = ?1 and member = ?2")?
            .execute(params![self.group, self.id, expires, self.clock.boot])?;
        transaction.commit()?;
        Ok(Round { mine, surplus, expires })
    }

    fn release(&self, sql: &Connection, lane: i64) -> Result<(), Fault> {
        sql.prepare_cached("delete from lease where grp = ?1 and lane = ?2 and member = ?3")?
            .execute(params![self.group, lane, self.id])?;
        Ok(())
    }

    /// Gives everything back at once.
    pub(super) fn leave(&self, sql: &mut Connection) -> Result<(), Fault> {
        let transaction = immediate(sql)?;
        transaction.execute("delete from lease where grp = ?1 and member = ?2", [&self.group, &self.id])?;
        transaction.execute("delete from member where grp = ?1 and id = ?2", [&self.group, &self.id])?;
        transaction.commit()?;
        Ok(())
    }
}

/// Members and leases of another boot are over whatever their number says.
fn forget_expired(sql: &Connection, boot: &str, now: i64) -> Result<(), Fault> {
    for statement in [
        "delete from lease where expires <= ?1 or boot <> ?2",
        "delete from member where expires <= ?1 or boot <> ?2",
    ] {
        sql.prepare_cached(statement)?.execute(params![now, boot])?;
    }
    Ok(())
}

/// Live members and their topics.
fn members(sql: &Connection, group: &str) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let mut statement = sql.prepare_cached("select id, topics from member where grp = ?1")?;
    let rows =
        statement.query_map([group], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut members = BTreeMap::new();
    for row in rows {
        let (id, topics) = row?;
        members.insert(id, topics.lines().map(str::to_owned).collect());
    }
    Ok(members)
}

/// Leased lanes and who has them.
fn holders(sql: &Connection, group: &str) -> Result<BTreeMap<i64, String>, Fault> {
    let mut statement = sql.prepare_cached("select lane, member from lease where grp = ?1")?;
    let rows = statement.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The lanes that `me` should have. Every member computes the same: holders keep their even share, the rest goes to whoever has
/// least.
fn share(
    members: &BTreeMap<String, Vec<String>>,
    lanes: &BTreeMap<i64, Lane>,
    holders: &BTreeMap<i64, String>,
    me: &str,
) -> BTreeSet<i64> {
    let wants = |member: &str, lane: i64| {
        let topics = members.get(member).zip(lanes.get(&lane));
        topics.is_some_and(|(topics, lane)| topics.iter().any(|topic| **topic == *lane.source.topic))
    };
    let mut shares: BTreeMap<&str, BTreeSet<i64>> =
        members.keys().map(|id| (id.as_str(), BTreeSet::new())).collect();
    for (lane, holder) in holders {
        if wants(holder, *lane)
            && let Some(share) = shares.get_mut(holder.as_str())
        {
            share.insert(*lane);
        }
    }
    let (floor, mut larger) = (lanes.len() / members.len().max(1), lanes.len() % members.len().max(1));
    let mut by_size: Vec<&str> = shares.keys().copied().collect();
    by_size.sort_by_key(|id| std::cmp::Reverse(shares[id].len()));
    for id in by_size {
        let extra = usize::from(larger > 0 && shares[id].len() > floor);
        larger -= extra;
        if let Some(share) = shares.get_mut(id) {
            while share.len() > floor + extra {
                // The highest partitions of every topic, not the last topic as a whole: live lanes are shared as evenly as bulk ones.
                let place = |id: &i64| (lanes.get(id).map(|lane| lane.source.partition), *id);
                let Some(last) = share.iter().copied().max_by_key(place) else { break };
                share.remove(&last);
            }
        }
    }
    for lane in lanes.keys() {
        if shares.values().any(|share| share.contains(lane)) {
            continue;
        }
        let least = shares.iter_mut().filter(|(id, _)| wants(id, *lane)).min_by_key(|(_, share)| share.len());
        if let Some((_, share)) = least {
            share.insert(*lane);
        }
    }
    shares.remove(me).unwrap_or_default()
}

/// Tells how far a group is.
pub(super) fn tell(sql: &mut Connection, group: &str, offsets: &BTreeMap<i64, i64>) -> Result<(), Fault> {
    let transaction = immediate(sql)?;
    for (lane, next_offset) in offsets {
        transaction
            .prepare_cached(
                "insert into group_offset(grp, lane, next_offset) values(?1, ?2, ?3)
                 on conflict(grp, lane) do update set next_offset = excluded.next_offset",
            )?
            .execute(params![group, lane, next_offset])?;
    }
    transaction.commit()?;
    Ok(())
}

/// Offsets that a group has told.
pub(super) fn told(
    sql: &Connection,
    group: &str,
    topics: &[String],
) -> Result<BTreeMap<TopicPartition, i64>, Fault> {
    let mut statement =
        sql.prepare_cached("select next_offset from group_offset where grp = ?1 and lane = ?2")?;
    let mut offsets = BTreeMap::new();
    for lane in lanes(sql, topics.iter().map(String::as_str))? {
        if let Some(offset) = statement.query_map(params![group, lane.id], |row| row.get(0))?.next() {
            offsets.insert(lane.source, offset?);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes_of(count: i64) -> BTreeMap<i64, Lane> {
        let lane = |id| Lane {
            id,
            source: TopicPartition { topic: "t".into(), partition: id as i32 },
            low: 0,
            next_offset: 0,
            epoch: -1,
            sequence: 0,
        };
        (0..count).map(|id| (id, lane(id))).collect()
    }

    #[test]
    fn shares_are_even_complete_disjoint_and_move_as_little_as_possible() {
        for members in 1..6_usize {
            for lanes in 0..9_i64 {
                for salt in 0..30_usize {
                    let all: BTreeMap<String, Vec<String>> =
                        (0..members).map(|id| (format!("m{id}"), vec!["t".to_owned()])).collect();
                    let lanes = lanes_of(lanes);
                    let holders: BTreeMap<i64, String> = lanes
                        .keys()
                        .filter(|lane| !(**lane as usize + salt).is_multiple_of(3))
                        .map(|lane| {
                            (*lane, format!("m{}", (salt * 7 + *lane as usize * salt) % (members + 1)))
                        })
                        .collect();
                    let shares: Vec<BTreeSet<i64>> =
                        all.keys().map(|id| share(&all, &lanes, &holders, id)).collect();
                    let given: usize = shares.iter().map(BTreeSet::len).sum();
                    let union: BTreeSet<i64> = shares.iter().flatten().copied().collect();
                    assert_eq!((given, union.len()), (lanes.len(), lanes.len()));
                    let (least, most) =
                        (shares.iter().map(BTreeSet::len).min(), shares.iter().map(BTreeSet::len).max());
                    assert!(most.unwrap_or(0) - least.unwrap_or(0) <= 1, "{shares:?} {holders:?}");
                }
            }
        }
    }

    #[test]
    fn a_lane_goes_only_to_members_that_want_its_topic() {
        let mut lanes = lanes_of(2);
        lanes.insert(
            9,
            Lane {
                id: 9,
                source: TopicPartition { topic: "u".into(), partition: 0 },
                low: 0,
                next_offset: 0,
                epoch: -1,
                sequence: 0,
            },
        );
        let members = BTreeMap::from([
            ("a".to_owned(), vec!["t".to_owned()]),
            ("b".to_owned(), vec!["t".to_owned(), "u".to_owned()]),
        ]);
        let none = BTreeMap::new();
        assert!(share(&members, &lanes, &none, "b").contains(&9));
        assert!(!share(&members, &lanes, &none, "a").contains(&9));
    }
}
