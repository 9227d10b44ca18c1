//! The compiled form of an agreement: one subscriber's part in one family, ready to run.
//!
//! Whoever compiles an agreement resolves every name to an index once; nothing here is looked up by name per event.

use std::sync::Arc;

use lienthong_contract::keys::HashKey;
use lienthong_contract::predicate::Predicate;
use lienthong_contract::target::TargetTable;
use lienthong_schemas::{FieldPath, RecordSchema};

/// One subscriber's deliveries from one family: one consumer group, one offset per partition, one receipt chain, one state.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// `vss.insurance`.
    pub subscriber: String,
    /// `civil_status`.
    pub family: String,
    /// The family's topics, live and bulk.
    pub topics: Vec<String>,
    /// Agreement with its version: `vss.insurance/2026-01`.
    pub agreement: String,
    /// Purpose id.
    pub purpose: String,
    /// Law that allows the delivery.
    pub legal_basis: String,
    /// When deliveries are allowed.
    pub valid: Validity,
    /// Target tables of the subscriber, every family's columns included; the sink is opened with the same list.
    pub tables: Vec<TargetTable>,
    /// What is delivered. Several rules may stand for one event.
    pub rules: Vec<DeliveryRule>,
    /// What is undone.
    pub revocations: Vec<RevocationRule>,
    /// Keys of hashes.
    pub keys: SubscriptionKeys,
}

/// First and last day of an agreement, both included, as days since 1970-01-01 in Asia/Ho_Chi_Minh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First day.
    pub from: i32,
    /// Last day; `None` for no end.
    pub until: Option<i32>,
}

/// How an instant lies to an agreement's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not yet valid.
    Early,
    /// Valid.
    Valid,
    /// No longer valid.
    Ended,
}

impl Validity {
    /// Judges an instant, microseconds since 1970 UTC. Viet Nam keeps UTC+7 all year, without daylight saving.
    #[must_use]
    pub fn judge(&self, at: i64) -> Standing {
        const OFFSET: i64 = 7 * 3_600 * 1_000_000;
        const DAY: i64 = 24 * 3_600 * 1_000_000;
        let today = at.saturating_add(OFFSET).div_euclid(DAY);
        if today < i64::from(self.from) {
            Standing::Early
        } else if self.until.is_some_and(|until| today > i64::from(until)) {
            Standing::Ended
        } else {
            Standing::Valid
        }
    }
}

/// Derived keys: hashes made for two uses cannot be joined.
#[derive(Clone, Debug)]
pub struct SubscriptionKeys {
    /// Keys and record numbers in the ledger, per subscriber, because several families may write one row.
    pub ledger: HashKey,
    /// Subjects in receipts, per subscription.
    pub receipt: HashKey,
    /// Pseudonyms, per subscriber and purpose: whoever gets the key under one purpose opens nothing that came under another.
    pub pseudonym: HashKey,
}

impl SubscriptionKeys {
    /// Derives the keys from the site's subject key.
    #[must_use]
    pub fn derive(site: &HashKey, subscriber: &str, purpose: &str, family: &str) -> Self {
        Self {
            ledger: site.derive(&format!("ledger/{subscriber}")),
            receipt: site.derive(&format!("receipt/{subscriber}/{family}")),
            pseudonym: Self::pseudonym(site, subscriber, purpose),
        }
    }

    /// The key of a subscriber's pseudonyms alone; it is the same in all families.
    #[must_use]
    pub fn pseudonym(site: &HashKey, subscriber: &str, purpose: &str) -> HashKey {
        site.derive(&format!("pseudonym/{subscriber}/{purpose}"))
    }
}

/// One entry of `delivers`.
#[derive(Clone, Debug)]
pub struct DeliveryRule {
    /// `civil_status.birth.registered`.
    pub event: String,
    /// The reader's contract; writers' data are resolved to it.
    pub reader: Arc<RecordSchema>,
    /// The agreed fields.
    pub fields: Vec<FieldPath>,
    /// Every path that is decoded: sources of columns and key, the filter's inputs, the record number. Indexes below point in here.
    pub paths: Vec<FieldPath>,
    /// `where`.
    pub filter: Option<RowFilter>,
    /// Index into [`Subscription::tables`].
    pub table: usize,
    /// Sources of the table's key columns, in the table's order.
    pub key: Vec<ColumnSource>,
    /// The column groups that this rule writes, always whole; at least one.
    pub groups: Vec<GroupSource>,
    /// What the event does to the row.
    pub effect: Effect,
    /// The record was void.
    pub on_revoked: Policy,
    /// The source row is gone.
    pub on_deleted: Policy,
    /// Index into `paths` of the field that numbers the record, when the catalogue names one.
    pub record_number: Option<usize>,
    /// For an event that changes only some fields: index into `paths` of the list that names them.
    pub delta: Option<usize>,
}

/// A rule's filter with its inputs.
#[derive(Clone, Debug)]
pub struct RowFilter {
    /// The compiled `where`.
    pub predicate: Predicate,
    /// For each of the predicate's inputs, in its order, the index into [`DeliveryRule::paths`].
    pub inputs: Vec<usize>,
}

/// The sources of one column group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSource {
    /// Index into the table's groups.
    pub group: usize,
    /// One source per column of the group, in the group's order.
    pub columns: Vec<ColumnSource>,
    /// The field that must be listed as changed for the group to be written; `None`: it always is.
    pub listed: Option<FieldPath>,
}

/// Where a column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSource {
    /// Index into the rule's `paths`.
    pub path: usize,
    /// How it becomes the column's value.
    pub map: ColumnMap,
}

/// How a field becomes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnMap {
    /// As it is.
    Plain,
    /// EDTF text (or a date) into a date column.
    Date {
        /// What a date of which only the year or the month is known becomes.
        partial: Partial,
    },
    /// A token that is keyed for this subscriber: 32 hexadecimal digits. Null stays null.
    Pseudonym,
    /// Always null: the column of a `soft` policy, which every newer value of its group takes back.
    Unset,
}

/// What a partial date becomes in a date column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// Null.
    Null,
    /// The event cannot be delivered.
    Reject,
}

/// What an event does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Creates the row, or writes its columns.
    Upsert,
    /// Writes columns of a row whose life another event decides.
    Update {
        /// When the row is not there.
        if_missing: IfMissing,
    },
    /// Deletes the row. The deletion or revocation of such an event changes nothing: the bus does not hold the row.
    Delete,
}

impl Effect {
    /// Whether events of this rule decide that the row exists.
    #[must_use]
    pub fn creates(self) -> bool {
        matches!(self, Self::Upsert)
    }
}

/// What an update without a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// Nothing.
    Skip,
    /// Creates the row.
    Insert,
}

/// What happens to delivered values when the source row is gone or the record was void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A creating rule deletes the row, an updating rule nulls its columns.
    Hard,
    /// The row stays; this column takes the time of the event.
    Soft {
        /// Column name in the target table.
        column: String,
    },
    /// Nothing.
    Ignore,
}

/// One event type that revokes others.
#[derive(Clone, Debug)]
pub struct RevocationRule {
    /// `civil_status.record.revoked`.
    pub event: String,
    /// The reader's contract.
    pub reader: Arc<RecordSchema>,
    /// Every path that is decoded. Indexes below point in here.
    pub paths: Vec<FieldPath>,
    /// Index of the number of the record that is void.
    pub record_number: usize,
    /// Index of the field that tells what kind of record is void, where there is one.
    pub record_type: Option<usize>,
    /// Rules whose values are undone.
    pub undoes: Vec<Undo>,
}

/// How a revocation undoes one rule's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Index into [`Subscription::rules`].
    pub rule: usize,
    /// Counts only for this kind of record; `None` for every kind. Two types never mix in any case: a record is known in the
    /// ledger by event and number.
    pub record_type: Option<String>,
    /// Sources of the table's key columns, from the revocation's own paths. When one is null, the record's row cannot have been
    /// delivered by key, and there is nothing to undo.
    pub key: Vec<ColumnSource>,
}

/// The consumer group of a subscriber's part in a family.
#[must_use]
pub fn group(subscriber: &str, family: &str) -> String {
    format!("lienthong.{subscriber}.{family}")
}

impl Subscription {
    /// `<subscriber>/<family>`, as in offsets, receipts and status.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.subscriber, self.family)
    }

    /// The consumer group.
    #[must_use]
    pub fn group(&self) -> String {
        group(&self.subscriber, &self.family)
    }

    /// Checks that indexes lead somewhere and that rules fit their tables, so that the road needs no checks of its own.
    ///
    /// # Errors
    /// One sentence on the first misfit.
    pub fn validate(&self) -> Result<(), String> {
        for rule in &self.rules {
            let fault = |what: &str| format!("the rule for {}: {what}", rule.event);
            let Some(table) = self.tables.get(rule.table) else { return Err(fault("no such table")) };
            if rule.key.len() != table.key.len() || !sources_fit(&rule.key, &rule.paths) {
                return Err(fault("the key's sources do not fit the table's key"));
            }
            if rule.groups.is_empty() {
                return Err(fault("no column group"));
            }
            for group in &rule.groups {
                let columns = table.groups.get(group.group).map(|known| known.columns.len());
                if columns != Some(group.columns.len()) || !sources_fit(&group.columns, &rule.paths) {
                    return Err(fault("the columns' sources do not fit a column group"));
                }
            }
            if let Some(filter) = &rule.filter
                && (filter.inputs.len() != filter.predicate.inputs().len()
                    || filter.inputs.iter().any(|input| *input >= rule.paths.len()))
            {
                return Err(fault("the filter's inputs do not fit"));
            }
            if [rule.record_number, rule.delta].into_iter().flatten().any(|path| path >= rule.paths.len()) {
                return Err(fault("no such record number or list of changed fields"));
            }
            if rule.delta.is_none() && rule.groups.iter().any(|group| group.listed.is_some()) {
                return Err(fault("a group waits to be listed, and no list is read"));
            }
        }
        self.validate_revocations()
    }

    fn validate_revocations(&self) -> Result<(), String> {
        for revocation in &self.revocations {
            let fault = |what: &str| format!("the revocation {}: {what}", revocation.event);
            let known = |path: usize| path < revocation.paths.len();
            if !known(revocation.record_number) || !revocation.record_type.is_none_or(known) {
                return Err(fault("no such record number or record type"));
            }
            for undo in &revocation.undoes {
                let Some(rule) = self.rules.get(undo.rule) else { return Err(fault("no such rule")) };
                if undo.key.len() != rule.key.len() || !sources_fit(&undo.key, &revocation.paths) {
                    return Err(fault("the key's sources do not fit the table's key"));
                }
            }
        }
        Ok(())
    }
}

fn sources_fit(sources: &[ColumnSource], paths: &[FieldPath]) -> bool {
    sources.iter().all(|source| source.path < paths.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_judged_by_the_day_in_viet_nam_and_the_last_day_counts() {
        let valid = Validity { from: 10, until: Some(11) };
        let hour = 3_600 * 1_000_000_i64;
        assert_eq!(valid.judge(10 * 24 * hour - 7 * hour - 1), Standing::Early);
        assert_eq!(valid.judge(10 * 24 * hour - 7 * hour), Standing::Valid);
        assert_eq!(valid.judge(12 * 24 * hour - 7 * hour - 1), Standing::Valid);
        assert_eq!(valid.judge(12 * 24 * hour - 7 * hour), Standing::Ended);
        assert_eq!(Validity { from: -1, until: None }.judge(i64::MAX), Standing::Valid);
    }
}
