//! What is taken back or mended: revocations and repairs.

use super::chain::single;
use crate::nation::Nation;
use crate::rows::{insert, update};
use crate::tables::System;
use crate::write::{Field, Op, RowWrite, Step, Value};

impl Nation {
    /// A registration is declared void: the decision, and the registration's status.
    pub(crate) fn revocation(
        &mut self,
        (record_type, table): (&'static str, &'static str),
        registration_no: &str,
        pin: Value,
        reason: &'static str,
        dossier: Option<&str>,
    ) -> Vec<RowWrite> {
        let number = self.number();
        let decision = vec![
            ("decision_no", Value::from(format!("{number}/QĐ-UBND"))),
            ("registration_no", registration_no.to_owned().into()),
            ("pin", pin),
            ("record_type", record_type.into()),
            ("reason_code", reason.into()),
            ("decided_on", self.today.into()),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        let key = ("registration_no", registration_no.to_owned().into());
        vec![
            insert(System::CivilStatus, "revocation", decision),
            update(System::CivilStatus, table, key, vec![("status", "revoked".into())]),
        ]
    }

    /// The right values in the place of refused ones.
    pub(crate) fn repair(
        &self,
        system: System,
        table: &'static str,
        key: Vec<Field>,
        meant: Vec<Field>,
    ) -> Vec<Step> {
        let row = RowWrite {
            system,
            table,
            op: Op::Update,
            key,
            values: meant,
            dirt: Vec::new(),
            meant: Vec::new(),
            about: crate::person::NONE,
        };
        single(system, vec![row]).unwrap_or_default()
    }
}
