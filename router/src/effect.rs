//! From one event and one rule to writes: operation, effect and policy.
//!
//! | event | creating rule | updating rule | deleting rule |
//! |---|---|---|---|
//! | insert, update, snapshot | upsert | update | delete |
//! | delete (`on_deleted`), revocation (`on_revoked`) | hard: delete, soft: void the row | hard: clear, soft: void the group | nothing |

use lienthong_contract::event::Operation;
use lienthong_contract::sink::{Action, GroupWrite, KeyWrite, Revokes};
use lienthong_contract::target::VersionStore;
use lienthong_schemas::{Cell, FieldPath, is_person};

use crate::compact::Compactor;
use crate::error::EventFault;
use crate::head::Head;
use crate::project::Projector;
use crate::subscription::{
    ColumnSource, DeliveryRule, Effect, IfMissing, Policy, RevocationRule, Subscription, Undo,
};

/// Makes writes of events.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    /// Whose.
    pub(crate) subscription: &'a Subscription,
    /// How values become columns.
    pub(crate) projector: Projector<'a>,
}

impl<'a> Maker<'a> {
    /// The writes of an event that one rule lets pass.
    ///
    /// # Errors
    /// When a value does not fit, a key is null, or the operation is not supported.
    pub(crate) fn deliver(
        &self,
        rule: &'a DeliveryRule,
        head: &Head<'a>,
        row: &[Cell<'a>],
        out: &mut Compactor<'a>,
    ) -> Result<(), EventFault> {
        if head.operation == Operation::Rekey {
            // A person who had no number had no row under one, and the full event under the new subject follows.
            // Where no person's number is in the target's key, the row stays where it is, and the full event brings the new number.
            let by_person = rule.key.iter().any(|source| is_person(&rule.paths[source.path]));
            if head.subject.contains(&b':') || !by_person {
                return Ok(());
            }
            return Err(EventFault::new(
                "it moves a record to another key, which this version cannot deliver",
                "use a version that supports `rekey`",
            ));
        }
        let target = self.target(rule, &rule.key, row)?.ok_or_else(|| {
            EventFault::new(
                "a field that the target's key comes from is null",
                "let the agreement's `where` ask for it: `event.<field> != null`",
            )
        })?;
        if head.operation == Operation::Delete {
            self.undo(rule, &rule.on_deleted, &target, head, None, out);
            return Ok(());
        }
        let groups = self.groups(rule, head, row)?;
        let action = match rule.effect {
            Effect::Delete => Action::Delete { version: head.version, revokes: None },
            // None of the agreed fields changed.
            _ if groups.is_empty() => return Ok(()),
            Effect::Upsert | Effect::Update { if_missing: IfMissing::Insert } => Action::Upsert(groups),
            Effect::Update { if_missing: IfMissing::Skip } => Action::Update(groups),
        };
        out.push(target.write(action));
        Ok(())
    }

    /// The writes of a deletion whose last row is outside of the filter: the subscriber may hold the record from a time when it was
    /// inside. Counts only where the ledger says that this very record wrote the row, because another record inside the filter may have
    /// taken its place; a row of which the ledger does not know that is left alone.
    pub(crate) fn gone(
        &self,
        rule: &'a DeliveryRule,
        head: &Head<'a>,
        row: &[Cell<'a>],
        out: &mut Compactor<'a>,
    ) {
        let table = &self.subscription.tables[rule.table];
        let number = rule.record_number.filter(|_| table.version == VersionStore::Ledger);
        let record = number.and_then(|path| self.projector.record_hash(&rule.event, &row[path]));
        // What has no key in the table cannot have been delivered.
        if let (Some(record), Ok(Some(target))) = (record, self.target(rule, &rule.key, row)) {
            self.undo(rule, &rule.on_deleted, &target, head, Some(record), out);
        }
    }

    /// The writes of a revocation. Each counts only where the ledger says that this very record wrote the values.
    ///
    /// # Errors
    /// When a value does not fit.
    pub(crate) fn revoke(
        &self,
        revocation: &'a RevocationRule,
        head: &Head<'a>,
        row: &[Cell<'a>],
        out: &mut Compactor<'a>,
    ) -> Result<bool, EventFault> {
        // That a revocation is itself deleted brings no values back: the bus does not keep them.
        if head.operation == Operation::Delete {
            return Ok(false);
        }
        let mut concerned = false;
        for undo in revocation.undoes.iter().filter(|undo| of_type(revocation, undo, row)) {
            let rule = &self.subscription.rules[undo.rule];
            let number = &row[revocation.record_number];
            let Some(record) = self.projector.record_hash(&rule.event, number) else { continue };
            let Some(target) = self.target(rule, &undo.key, row)? else { continue };
            self.undo(rule, &rule.on_revoked, &target, head, Some(record), out);
            concerned = true;
        }
        Ok(concerned)
    }

    fn target(
        &self,
        rule: &DeliveryRule,
        key: &[ColumnSource],
        row: &[Cell<'a>],
    ) -> Result<Option<Target<'a>>, EventFault> {
        let key = self.projector.columns(key, row)?;
        let table = &self.subscription.tables[rule.table].table;
        let hash = self.projector.key_hash(table, key);
        Ok(hash.map(|key_hash| Target { table: rule.table, key_hash, key }))
    }

    /// The groups that the event speaks of; of a delta event only those whose field it lists, where null clears.
    fn groups(
        &self,
        rule: &DeliveryRule,
        head: &Head<'a>,
        row: &[Cell<'a>],
    ) -> Result<Vec<GroupWrite<'a>>, EventFault> {
        let record = rule.record_number.and_then(|path| self.projector.record_hash(&rule.event, &row[path]));
        let write = |source: &crate::subscription::GroupSource| {
            let values = self.projector.columns(&source.columns, row)?;
            Ok(GroupWrite { group: source.group, version: head.version, record, values })
        };
        let changed = rule.delta.map(|path| row[path]);
        rule.groups.iter().filter(|source| speaks_of(changed, source.listed.as_ref())).map(write).collect()
    }

    /// The group that the column of a `soft` policy belongs to.
    fn marked_group(&self, rule: &DeliveryRule, column: &str) -> usize {
        let groups = &self.subscription.tables[rule.table].groups;
        let holds = |group: usize| groups[group].columns.iter().any(|known| known.name == column);
        let mut own = rule.groups.iter().map(|source| source.group);
        own.clone().find(|group| holds(*group)).or_else(|| own.next()).unwrap_or_default()
    }

    fn undo(
        &self,
        rule: &'a DeliveryRule,
        policy: &'a Policy,
        target: &Target<'a>,
        head: &Head<'a>,
        record: Option<&'a str>,
        out: &mut Compactor<'a>,
    ) {
        if rule.effect == Effect::Delete {
            return;
        }
        let version = head.version;
        let revokes = record.map(|record| {
            let groups = rule.groups.iter().map(|source| source.group);
            Revokes { record, groups: self.projector.arena.alloc_slice_fill_iter(groups) }
        });
        match policy {
            Policy::Ignore => {}
            Policy::Soft { column } => {
                let group = (!rule.effect.creates()).then(|| self.marked_group(rule, column));
                out.push(target.write(Action::Void { group, column, at: head.time, version, revokes }));
            }
            Policy::Hard if rule.effect.creates() => {
                out.push(target.write(Action::Delete { version, revokes }));
            }
            Policy::Hard => {
                for source in &rule.groups {
                    let clear = Action::Clear { group: source.group, version, revokes: record };
                    out.push(target.write(clear));
                }
            }
        }
    }
}

struct Target<'a> {
    table: usize,
    key_hash: lienthong_contract::keys::KeyHash,
    key: &'a [Cell<'a>],
}

impl<'a> Target<'a> {
    fn write(&self, action: Action<'a>) -> KeyWrite<'a> {
        KeyWrite { table: self.table, key_hash: self.key_hash, key: self.key, action }
    }
}

/// Whether a group's field counts. A listed record stands for all its fields.
fn speaks_of(changed: Option<Cell<'_>>, field: Option<&FieldPath>) -> bool {
    let (Some(changed), Some(field)) = (changed, field) else { return true };
    let Cell::List(names) = changed else { return false };
    names.iter().any(|name| matches!(name, Cell::Str(name) if field.lies_in(name)))
}

fn of_type(revocation: &RevocationRule, undo: &Undo, row: &[Cell<'_>]) -> bool {
    let Some(wanted) = &undo.record_type else { return true };
    revocation.record_type.is_some_and(|path| matches!(row[path], Cell::Str(found) if found == wanted))
}
