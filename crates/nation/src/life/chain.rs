//! Steps put together in causal order.

use std::time::Duration;

use chrono::Datelike as _;

use crate::nation::Nation;
use crate::tables::System;
use crate::write::{RowWrite, Step};

/// A happening under way.
pub(crate) struct Chain {
    pub(crate) dossier: String,
    steps: Vec<Step>,
}

impl Chain {
    /// A case of the household's province.
    pub(crate) fn open(nation: &mut Nation, household: u32) -> Self {
        let commune = nation.commune(household);
        let (province, office) = (commune.province, commune.code);
        let day = nation.today;
        let number = nation.number();
        let (year, month) = (day.year() % 100, day.month());
        let dossier = format!("H{province:02}.{office:05}-{year:02}{month:02}{:02}-{number:07}", day.day());
        Self { dossier, steps: Vec::new() }
    }

    /// The case's number, as columns want it.
    pub(crate) fn code(&self) -> Option<&str> {
        Some(&self.dossier)
    }

    /// A transaction of the case, so many milliseconds after the one before (more or less); nothing when it writes nothing.
    pub(crate) fn step(&mut self, nation: &mut Nation, system: System, delay: u32, writes: Vec<RowWrite>) {
        let dossier = Some(self.dossier.clone());
        self.push(nation, system, delay, dossier, writes);
    }

    /// A transaction before there is a case.
    pub(crate) fn early(&mut self, nation: &mut Nation, system: System, writes: Vec<RowWrite>) {
        self.push(nation, system, 0, None, writes);
    }

    fn push(
        &mut self,
        nation: &mut Nation,
        system: System,
        delay: u32,
        dossier: Option<String>,
        writes: Vec<RowWrite>,
    ) {
        if writes.is_empty() {
            return;
        }
        let delay = if self.steps.is_empty() { 0 } else { delay / 2 + nation.random.below(delay + 1) };
        let delay = Duration::from_millis(u64::from(delay));
        self.steps.push(Step { system, delay, dossier, writes });
    }

    pub(crate) fn steps(self) -> Option<Vec<Step>> {
        Some(self.steps).filter(|steps| !steps.is_empty())
    }
}

/// What happened outside any case: one transaction.
pub(crate) fn single(system: System, writes: Vec<RowWrite>) -> Option<Vec<Step>> {
    let step = Step { system, delay: Duration::ZERO, dossier: None, writes };
    Some(vec![step]).filter(|steps| !steps[0].writes.is_empty())
}
