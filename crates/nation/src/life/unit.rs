//! A commune that becomes a ward: one state of the unit ends, another begins. Its code stays.

use super::chain::single;
use crate::country::{COUNTRY, MERGER, MERGER_DAY};
use crate::nation::Nation;
use crate::rows::insert;
use crate::tables::System;
use crate::write::{Op, RowWrite, Step, Value};

impl Nation {
    /// None when the commune that chance picks is a ward already.
    pub(crate) fn unit_renamed(&mut self) -> Option<Vec<Step>> {
        let at = self.random.below(COUNTRY.communes.len() as u32) as u16;
        let commune = &COUNTRY.communes[usize::from(at)];
        let name = commune.full_name.strip_prefix("Xã ")?;
        if self.renamed.contains(&at) || self.today <= MERGER_DAY {
            return None;
        }
        let full_name = format!("Phường {name}");
        let number = self.number();
        let code = Value::from(format!("{:05}", commune.code));
        let before = self.today.pred_opt()?;
        let ended = RowWrite {
            system: System::AdminUnits,
            table: "admin_unit",
            op: Op::Update,
            key: vec![("level", "commune".into()), ("code", code.clone()), ("valid_from", MERGER.into())],
            values: vec![
                ("valid_to", before.into()),
                ("successors", code.clone()),
                ("whole_or_part", "whole".into()),
            ],
            dirt: Vec::new(),
            meant: Vec::new(),
            about: crate::person::NONE,
        };
        let began = insert(
            System::AdminUnits,
            "admin_unit",
            vec![
                ("level", "commune".into()),
                ("code", code),
                ("valid_from", self.today.into()),
                ("parent_code", format!("{:02}", commune.province).into()),
                ("name", name.into()),
                ("full_name", full_name.into()),
                ("successors", "".into()),
                ("whole_or_part", "".into()),
                ("decree_no", format!("{number}/NQ-UBTVQH16").into()),
            ],
        );
        self.renamed.insert(at);
        single(System::AdminUnits, vec![ended, began])
    }
}
