//! Tables that are emptied by `truncate`: the log says so, and not which rows they had.

use lienthong_contract::digits;
use lienthong_contract::source::{Emptied, Place, RowVisitor, SourceError, WhenEmptied};

use super::super::kept::Spot;
use super::super::position::Split;
use super::Session;
use super::rows::name;

impl Session {
    /// Takes a message that tables were emptied; it counts as a row message.
    pub(super) fn truncate(
        &mut self,
        relations: &[u32],
        visitor: &mut dyn RowVisitor,
    ) -> Result<(), SourceError> {
        let Some(open) = &mut self.open else {
            return Err(unreadable("a truncate outside of a transaction"));
        };
        let (index, xid) = (open.messages, open.xid);
        open.messages = index.saturating_add(1);
        let (given, passed) = (open.messages, index < open.skip);
        let spot = Spot { commit: open.commit, index, time: open.time };
        if passed {
            return Ok(());
        }
        let position = self.position.as_ref();
        let passed_over = position.and_then(|position| position.anew).is_some_and(|anew| spot.commit < anew);
        for (at, oid) in relations.iter().enumerate() {
            let Some(table) = self.tables.of(*oid) else { continue };
            let name_of = &self.tables.all[table].captured.name;
            let aside = self.position.as_ref().is_some_and(|position| position.aside_of(name_of).is_some());
            if self.when_emptied == WhenEmptied::Refuse || aside || passed_over {
                let told = Err(self.truncated(table, aside));
                self.or_passed_over(told)?;
                continue;
            }
            if let Some(chunk) = self.chunk.as_mut().filter(|chunk| chunk.table == table)
                && !chunk.snapshot.sees(xid)
            {
                chunk.spoiled = true;
            }
            let mut id = String::new();
            name(spot, &mut id);
            id.push_str(".e");
            digits::decimal(at as u64, 1, &mut id);
            let place = Place { lsn: spot.commit, index: index.saturating_mul(2) };
            visitor.emptied(Emptied { table, id, time: spot.time, place });
            self.emptied = true;
        }
        self.parts()?.1.split = Some(Split { commit: spot.commit, given });
        Ok(())
    }

    fn truncated(&self, table: usize, aside: bool) -> SourceError {
        let name = &self.tables.all[table].captured.name;
        let (gap, way) = if aside {
            (format!("{name} was emptied by truncate while it is set aside"), "")
        } else {
            (
                format!("{name} was emptied by truncate, and the log does not say which rows it had"),
                ", or say `truncate: delete` in the participant's file",
            )
        };
        SourceError::Gap {
            gap,
            fix: format!(
                "empty {name} by delete, not by truncate{way}; to go on after this one, {}",
                crate::NEW_LINEAGE
            ),
        }
    }
}

/// Of what the server itself wrote.
pub(super) fn unreadable(what: &str) -> SourceError {
    SourceError::Gap {
        gap: format!("{what} in the log cannot be read"),
        fix: "report this as a defect".to_owned(),
    }
}
