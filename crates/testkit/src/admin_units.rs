//! The real administrative units before and after the merger of 1 July 2025, as statements for a publisher's database.
//!
//! A unit is (level, code, valid_from). When the former units came into force is not in the data, so their `valid_from` is the
//! EDTF text `..` (unknown start) and never an invented date; `valid_to` is the last day of a unit.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Resolution 202/2025/QH15: the merger takes effect.
pub const MERGER: &str = "2025-07-01";
/// What made provinces of several former ones. The resolutions that made the communes, one for each province, are not in the data.
pub const DECREE: &str = "202/2025/QH15";
/// Last day of every former unit.
pub const LAST_DAY: &str = "2025-06-30";
/// EDTF: start unknown.
pub const UNKNOWN_START: &str = "..";

/// The publisher's table; the same text fits PostgreSQL and SQLite.
pub const CREATE_TABLE: &str = "create table admin_unit (
    level text not null, code text not null, valid_from text not null, valid_to text,
    parent_code text, name text not null, full_name text not null, successors text not null default '',
    whole_or_part text not null default '', decree_no text,
    primary key (level, code, valid_from))";

/// What publisher and subscribers must agree on, in one order.
pub const STATE: &str =
    "level, code, valid_from, valid_to, parent_code, name, full_name, successors, whole_or_part, decree_no";

/// The subscriber's table, for the kind of database of this URL: PostgreSQL has a type for lists, SQLite keeps them as JSON.
#[must_use]
pub fn create_copy(url: &str) -> String {
    let list = if is_sqlite(url) { "text" } else { "text[]" };
    format!(
        "create table admin_unit_copy (
        level text not null, code text not null, valid_from text not null, valid_to text,
        parent_code text, name text, full_name text, successors {list}, whole_or_part {list}, decree_no text,
        voided_at text,
        primary key (level, code, valid_from))"
    )
}

/// [`STATE`] of the subscriber's table, with the lists joined in their order as the publisher's table has them.
#[must_use]
pub fn copied_state(url: &str) -> String {
    let list = |name: &str| {
        if is_sqlite(url) {
            format!("coalesce((select group_concat(value, ',' order by key) from json_each({name})), '')")
        } else {
            format!("array_to_string({name}, ',')")
        }
    };
    STATE.replace("successors", &list("successors")).replace("whole_or_part", &list("whole_or_part"))
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite")
}

/// One row of the publisher's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// province, district, commune.
    pub level: String,
    /// Code of the General Statistics Office, with leading zeros.
    pub code: String,
    /// EDTF.
    pub valid_from: String,
    /// Code of the unit above.
    pub parent_code: Option<String>,
    /// Short name.
    pub name: String,
    /// Name with its kind.
    pub full_name: String,
}

/// Both states of the country and the way from one to the other.
#[derive(Debug)]
pub struct AdminUnits {
    /// 63 provinces, 696 districts, 10,035 communes.
    pub former: Vec<Unit>,
    /// 34 provinces, 3,321 communes.
    pub current: Vec<Unit>,
    /// Successors of a former unit by (level, code), in the data's order, each with how much of the unit went there: whole, part.
    pub successors: BTreeMap<(String, String), Vec<(String, String)>>,
}

impl AdminUnits {
    /// Reads the three files of the data folder.
    ///
    /// # Errors
    /// When a file is missing or has another form.
    pub fn read(folder: &Path) -> Result<Self> {
        let former = units(&folder.join("admin_units_before_2025-07-01.csv"), UNKNOWN_START)?;
        let current = units(&folder.join("admin_units_from_2025-07-01.csv"), MERGER)?;
        let mut successors: BTreeMap<_, Vec<(String, String)>> = BTreeMap::new();
        let path = folder.join("admin_unit_succession_2025.csv");
        for row in csv::Reader::from_path(&path).with_context(|| path.display().to_string())?.records() {
            let row = row?;
            let known = successors.entry((row[0].to_owned(), row[1].to_owned())).or_default();
            if !known.iter().any(|(code, _)| code == &row[2]) {
                known.push((row[2].to_owned(), row[3].to_owned()));
            }
        }
        ensure!(
            (former.len(), current.len()) == (63 + 696 + 10_035, 34 + 3_321),
            "the data is not the expected one"
        );
        Ok(Self { former, current, successors })
    }

    /// Statements that fill the table with the former state.
    #[must_use]
    pub fn former_state(&self) -> Vec<String> {
        self.former.iter().map(|unit| insert(unit, None)).collect()
    }

    /// The merger as one run of changes: every former unit closed, with its successors, and every current one created.
    #[must_use]
    pub fn merger(&self) -> Vec<String> {
        let close = self.former.iter().map(|unit| {
            let key = (unit.level.clone(), unit.code.clone());
            let (codes, extents): (Vec<&str>, Vec<&str>) = self
                .successors
                .get(&key)
                .map_or(&[][..], Vec::as_slice)
                .iter()
                .map(|(code, extent)| (code.as_str(), extent.as_str()))
                .unzip();
            format!(
                "update admin_unit set valid_to = '{LAST_DAY}', successors = {}, whole_or_part = {} where level = {} and code = {} and valid_from = '{UNKNOWN_START}'",
                text(&codes.join(",")),
                text(&extents.join(",")),
                text(&unit.level),
                text(&unit.code)
            )
        });
        let decree = |unit: &Unit| Some(DECREE).filter(|_| self.is_merged(unit));
        close.chain(self.current.iter().map(|unit| insert(unit, decree(unit)))).collect()
    }

    /// Whether a province of today was made of several; eleven of the 34 stayed as they were.
    fn is_merged(&self, unit: &Unit) -> bool {
        let became = |codes: &Vec<(String, String)>| codes.iter().any(|(code, _)| *code == unit.code);
        let former =
            self.successors.iter().filter(|((level, _), codes)| level == "province" && became(codes));
        unit.level == "province" && former.count() > 1
    }
}

fn units(path: &Path, valid_from: &str) -> Result<Vec<Unit>> {
    let mut reader = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
    let unit = |row: csv::StringRecord| Unit {
        code: row[0].to_owned(),
        level: row[1].to_owned(),
        valid_from: valid_from.to_owned(),
        parent_code: Some(row[2].to_owned()).filter(|code| !code.is_empty()),
        name: row[3].to_owned(),
        full_name: row[4].to_owned(),
    };
    reader.records().map(|row| Ok(unit(row?))).collect()
}

fn insert(unit: &Unit, decree: Option<&str>) -> String {
    format!(
        "insert into admin_unit (level, code, valid_from, parent_code, name, full_name, decree_no) values ({}, {}, {}, {}, {}, {}, {})",
        text(&unit.level),
        text(&unit.code),
        text(&unit.valid_from),
        unit.parent_code.as_deref().map_or_else(|| "null".to_owned(), text),
        text(&unit.name),
        text(&unit.full_name),
        decree.map_or_else(|| "null".to_owned(), text)
    )
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
