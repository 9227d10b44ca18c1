//! A small right site in a folder of its own, into which tests put one mistake.

#![allow(dead_code)] // Every test file uses its own part.

use std::path::Path;

use lienthong_schemas::Problem;
use lienthong_site::{Overrides, Site};
use tempfile::TempDir;

pub(crate) const SITE: &str = "lienthong.yaml";
pub(crate) const MOJ: &str = "ministries/moj.yaml";
pub(crate) const VSS: &str = "agreements/vss.yaml";

/// The password in the databases' addresses.
pub(crate) const PASSWORD: &str = "hunter2-geheim";

const FILES: [(&str, &str); 3] = [
    (
        SITE,
        r#"site: vn.test
log: sqlite:var/log.db
keys: {subject: "${file:secrets/subject.key}", seal: "${file:secrets/seal.key}"}
paths: {ministries: ministries, agreements: agreements}
telemetry: {otlp: null, metrics: 127.0.0.1:9464}
"#,
    ),
    (
        MOJ,
        r#"participant: moj.civil-status
organisation: Ministry of Justice
source:
  kind: postgres
  url: "${env:MOJ_URL}"
  capture: {mode: outbox, table: lienthong_outbox}
publishes:
  - event: civil_status.birth.registered
    from: {table: public.birth, key: [registration_no], when: "status == 'REGISTERED'"}
    subject: [child_pin, registration_no]
    fields:
      registration_no: registration_no
      office_code: office_code
      registered_on: registered_on
      child.pin: child_pin
      child.given_name: ten
      child.sex: {value: unknown}
      child.birth_date: {column: ngay_sinh, precision_column: do_chinh_xac}
"#,
    ),
    (
        VSS,
        r#"agreement: vss.insurance/2026-01
subscriber: vss.insurance
purpose: P3
legal_basis: "Decree 63/2024/ND-CP, article 26"
valid: {from: 2026-01-01, until: 2027-12-31}
target: {kind: postgres, url: "${env:VSS_URL}"}
delivers:
  - event: civil_status.birth.registered
    fields: [child.pin, child.family_name, child.birth_date, registered_on]
    where: "event.child.birth_date >= '2020' && event.child.pin != null"
    into:
      table: insured_child
      key: [child_pin]
      columns:
        child_pin: child.pin
        ho: child.family_name
        ngay_sinh: {date: child.birth_date, partial: null}
    on_revoked: {soft: {column: voided_at}}
  - event: civil_status.death.registered
    fields: [deceased.pin, death_date]
    where: "event.deceased.pin != null"
    effect: {update: {if_missing: insert}}
    into:
      table: insured_child
      key: [child_pin]
      columns: {child_pin: deceased.pin, died_on: {date: death_date, partial: null}}
    on_revoked: hard
"#,
    ),
];

/// A site's folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// The right site.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder for the site"));
        for (file, text) in FILES {
            folder.write(file, text);
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder is made");
        std::fs::write(path, text).expect("the file is written");
    }

    pub(crate) fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).expect("the file is there")
    }

    /// Replaces a text that stands in the file exactly once.
    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.text(file);
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        self.write(file, &text.replace(from, to));
    }

    pub(crate) fn write_keys(&self) {
        self.write("secrets/subject.key", &format!("{}\n", "ab".repeat(32)));
        self.write("secrets/seal.key", &format!("{}\n", "cd".repeat(32)));
    }

    pub(crate) fn load(&self) -> Result<Site, Vec<Problem>> {
        load(self.path(), &Overrides::default())
    }

    /// The site, which must be right.
    pub(crate) fn site(&self) -> Site {
        self.load().unwrap_or_else(|problems| panic!("{}", self.shown(&problems).join("\n")))
    }

    /// The problems, with files as the site names them.
    pub(crate) fn problems(&self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(problems) => self.shown(&problems),
        }
    }

    pub(crate) fn shown(&self, problems: &[Problem]) -> Vec<String> {
        let folder = format!("{}/", self.path().display());
        problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

/// Loads a site with the tests' environment.
pub(crate) fn load(folder: &Path, overrides: &Overrides) -> Result<Site, Vec<Problem>> {
    Site::load_with(folder, overrides, &|name| match name {
        "MOJ_URL" => Some(format!("postgres://lienthong:{PASSWORD}@moj:5432/civil")),
        "VSS_URL" => Some(format!("postgres://lienthong:{PASSWORD}@vss:5432/insurance")),
        "PASSWORD" => Some(PASSWORD.to_owned()),
        "ADMIN_UNITS_DB" | "NSO_DB" | "DATASET_DB" => Some(format!("var/{PASSWORD}.db")),
        _ => None,
    })
}

/// Puts one mistake into the right site and expects exactly one problem, which begins with its place and holds all parts.
pub(crate) fn refused(file: &str, from: &str, to: &str, place: &str, parts: &[&str]) {
    let folder = Folder::new();
    folder.replace(file, from, to);
    only(&folder, &format!("{file}:{place}: "), parts);
}

/// Expects exactly one problem, which begins so and holds all parts.
pub(crate) fn only(folder: &Folder, begin: &str, parts: &[&str]) {
    let problems = folder.problems();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with(begin), "{begin} expected: {problems:#?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part} expected: {problems:#?}");
    }
}
