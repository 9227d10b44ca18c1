//! The rules of content: id, severity, source, and vectors that show each of them. `docs/quality.md` is this table.

/// What a finding means for its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The row goes to quarantine.
    Reject,
    /// The event goes out with the rule's id in `ce_qualityflags`.
    Flag,
}

impl Severity {
    /// As documents write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Reject => "reject",
            Severity::Flag => "flag",
        }
    }
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Stable name, in quarantine and flags.
    pub id: &'static str,
    /// What follows from it.
    pub severity: Severity,
    /// What it finds.
    pub finds: &'static str,
    /// The law, standard or document that it comes from.
    pub source: &'static str,
    /// Rows of a probe contract that show it. All values are synthetic.
    pub vectors: &'static [Vector],
}

/// One row of the probe contract, changed on 7 September 2026.
#[derive(Debug)]
pub struct Vector {
    /// Field that the rule names, if it finds something.
    pub field: &'static str,
    /// Fields that are not null.
    pub row: &'static [(&'static str, &'static str)],
    /// Whether the rule finds something.
    pub found: bool,
}

const fn found(field: &'static str, row: &'static [(&'static str, &'static str)]) -> Vector {
    Vector { field, row, found: true }
}

const fn quiet(field: &'static str, row: &'static [(&'static str, &'static str)]) -> Vector {
    Vector { field, row, found: false }
}

/// A rule by its id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

/// Every rule, refusing ones first.
pub static RULES: &[&Rule] = &[
    &rule::PIN_FORM,
    &rule::NOT_A_DATE,
    &rule::NOT_A_TIMESTAMP,
    &rule::NUL_CHARACTER,
    &rule::UNKNOWN_ENUM_SYMBOL,
    &rule::TOO_LONG,
    &rule::UNKNOWN_CHANGED_FIELD,
    &rule::PIN_SEX_MISMATCH,
    &rule::PIN_CENTURY_MISMATCH,
    &rule::PIN_YEAR_MISMATCH,
    &rule::PIN_UNKNOWN_PROVINCE,
    &rule::RETIRED_UNIT_CODE,
    &rule::EARLY_UNIT_CODE,
    &rule::UNKNOWN_UNIT_CODE,
    &rule::DATE_IN_FUTURE,
    &rule::NOT_NFC,
    &rule::MIXED_NORMALISATION,
    &rule::DEPRECATED_TONE_MARK,
];

/// The rules by name.
pub mod rule {
    use super::{Rule, Severity, found, quiet};

    const PIN_LAW: &str = "Law on Identification 26/2023/QH15, art. 12; Decree 70/2024/ND-CP, art. 11";
    const PIN_STRUCTURE: &str =
        "Decree 137/2015/ND-CP, art. 13 (lapsed 2024: a hint only); Circular 59/2021/TT-BCA, art. 4";
    const UNITS: &str = "Resolution 202/2025/QH15; Decision 19/2025/QD-TTg";
    const DATES: &str = "ISO 8601-2 (EDTF level 0); RFC 3339";
    const UNICODE: &str = "TCVN 6909:2001; Unicode Standard Annex 15";
    /// Made by the merger: in force from 1 July 2025 only.
    const EARLY: &str = "11948";
    const CONTRACT: &str = "the event's contract";

    /// The only hard rule on the number's form.
    pub static PIN_FORM: Rule = Rule {
        id: "pin-form",
        severity: Severity::Reject,
        finds: "a personal identification number that is not 12 ASCII digits, or all one digit; judged before any normalising",
        source: PIN_LAW,
        vectors: &[
            quiet("pin", &[("pin", "001326000001")]),
            quiet("pin", &[("pin", "015099000001")]),
            found("pin", &[("pin", "000000000000")]),
            found("pin", &[("pin", "00132600001")]),
            found("pin", &[("pin", "0013260000012")]),
            found("pin", &[("pin", "00132600000A")]),
            found("pin", &[("pin", "０01326000001")]),
            found("pin", &[("pin", "٠٠١٣٢٦٠٠٠٠٠١")]),
            found("pin", &[("pin", "")]),
        ],
    };
    /// Calendar dates and partial dates.
    pub static NOT_A_DATE: Rule = Rule {
        id: "not-a-date",
        severity: Severity::Reject,
        finds: "a date, or a partial date as EDTF text, that the calendar does not have or that is written otherwise",
        source: DATES,
        vectors: &[
            quiet("birth_date", &[("birth_date", "1996-02-29")]),
            quiet("birth_date", &[("birth_date", "1954")]),
            quiet("birth_date", &[("birth_date", "1954-07")]),
            found("birth_date", &[("birth_date", "1995-02-29")]),
            found("birth_date", &[("birth_date", "1995-13")]),
            found("birth_date", &[("birth_date", "29/02/1996")]),
            found("birth_date", &[("birth_date", "..")]),
            quiet("valid_from", &[("valid_from", "..")]),
            found("registered_on", &[("registered_on", "2026-06-31")]),
        ],
    };
    /// Dates with a time.
    pub static NOT_A_TIMESTAMP: Rule = Rule {
        id: "not-a-timestamp",
        severity: Severity::Reject,
        finds: "a date with a time that does not exist or that is written otherwise",
        source: DATES,
        vectors: &[
            quiet("seen_at", &[("seen_at", "2026-09-02T03:15:00+07:00")]),
            found("seen_at", &[("seen_at", "2026-02-30T03:15:00+07:00")]),
            found("seen_at", &[("seen_at", "2026-09-02T24:15:00Z")]),
        ],
    };
    /// Most databases and every C program end a text there.
    pub static NUL_CHARACTER: Rule = Rule {
        id: "nul-character",
        severity: Severity::Reject,
        finds: "U+0000 inside a text",
        source: "PostgreSQL, datatype-character: cannot be stored",
        vectors: &[found("name", &[("name", "An\0")]), quiet("name", &[("name", "An")])],
    };
    /// Words outside the contract's list.
    pub static UNKNOWN_ENUM_SYMBOL: Rule = Rule {
        id: "unknown-enum-symbol",
        severity: Severity::Reject,
        finds: "a word that the contract's enum does not have",
        source: CONTRACT,
        vectors: &[quiet("sex", &[("sex", "female")]), found("sex", &[("sex", "nữ")])],
    };
    /// Bounded texts.
    pub static TOO_LONG: Rule = Rule {
        id: "too-long",
        severity: Severity::Reject,
        finds: "a text with more characters than `max_length` of the catalogue, or than 1,000 where it states none",
        source: CONTRACT,
        vectors: &[
            quiet("short", &[("short", "Hoàng")]),
            found("short", &[("short", "Hoàngs")]),
            quiet("short", &[("short", "Hoa\u{300}ng")]),
        ],
    };
    /// What a delta event lists decides what its subscribers write.
    pub static UNKNOWN_CHANGED_FIELD: Rule = Rule {
        id: "unknown-changed-field",
        severity: Severity::Reject,
        finds: "a name in the list of changed fields that is no field of the contract",
        source: CONTRACT,
        vectors: &[
            quiet("fields_changed", &[("fields_changed", "name,birth_date")]),
            found("fields_changed", &[("fields_changed", "name,ngay_sinh")]),
        ],
    };
    /// Digit 4, parity.
    pub static PIN_SEX_MISMATCH: Rule = Rule {
        id: "pin-sex-mismatch",
        severity: Severity::Flag,
        finds: "digit 4 of the number says another sex: even male, odd female",
        source: PIN_STRUCTURE,
        vectors: &[
            quiet("pin", &[("pin", "001326000001"), ("sex", "female")]),
            quiet("pin", &[("pin", "079200000001"), ("sex", "male")]),
            quiet("pin", &[("pin", "079200000001"), ("sex", "unknown")]),
            found("pin", &[("pin", "079200000001"), ("sex", "female")]),
            found("pin", &[("pin", "001326000001"), ("sex", "male")]),
        ],
    };
    /// Digit 4, century.
    pub static PIN_CENTURY_MISMATCH: Rule = Rule {
        id: "pin-century-mismatch",
        severity: Severity::Flag,
        finds: "digit 4 of the number says another century than the birth date, or one that has not begun",
        source: PIN_STRUCTURE,
        vectors: &[
            quiet("pin", &[("pin", "001326000001"), ("birth_date", "2026-09-02")]),
            quiet("pin", &[("pin", "015099000001"), ("birth_date", "1999")]),
            found("pin", &[("pin", "001126000001"), ("birth_date", "2026-09-02")]),
            found("pin", &[("pin", "001932600000")]),
        ],
    };
    /// Digits 5 and 6.
    pub static PIN_YEAR_MISMATCH: Rule = Rule {
        id: "pin-year-mismatch",
        severity: Severity::Flag,
        finds: "digits 5 and 6 of the number differ from the last digits of the birth year, or say a year that has not begun",
        source: PIN_STRUCTURE,
        vectors: &[
            quiet("pin", &[("pin", "079200000001"), ("birth_date", "2000")]),
            quiet("pin", &[("pin", "001326000001")]),
            found("pin", &[("pin", "001324000017"), ("birth_date", "2026-09-02")]),
            found("pin", &[("pin", "001327000001")]),
        ],
    };
    /// Digits 1 to 3.
    pub static PIN_UNKNOWN_PROVINCE: Rule = Rule {
        id: "pin-unknown-province",
        severity: Severity::Flag,
        finds: "digits 1 to 3 of the number are none of the 63 provinces (a person registered abroad has a country's code)",
        source: "Circular 07/2016/TT-BCA, annexes 1 and 2",
        vectors: &[
            found("pin", &[("pin", "003200000001")]),
            quiet("pin", &[("pin", "015099000001")]),
            quiet("pin", &[("pin", "096200000001")]),
            found("pin", &[("pin", "097200000001")]),
        ],
    };
    /// Codes that ended.
    pub static RETIRED_UNIT_CODE: Rule = Rule {
        id: "retired-unit-code",
        severity: Severity::Flag,
        finds: "the code of an administrative unit that was no longer in force on the event's own day",
        source: UNITS,
        vectors: &[
            quiet("province_code", &[("province_code", "10"), ("unit_version", "2025-06-30")]),
            found("province_code", &[("province_code", "10"), ("unit_version", "2025-07-01")]),
            found("province_code", &[("province_code", "10")]),
            quiet("province_code", &[("province_code", "15"), ("unit_version", "2025-07-01")]),
            found("commune_code", &[("commune_code", "00001"), ("unit_version", "2026-01-01")]),
            quiet("commune_code", &[("commune_code", "00004"), ("unit_version", "2026-01-01")]),
            quiet("commune_code", &[("commune_code", "00001"), ("unit_version", "2025-01-01")]),
        ],
    };
    /// Codes that had not begun.
    pub static EARLY_UNIT_CODE: Rule = Rule {
        id: "early-unit-code",
        severity: Severity::Flag,
        finds: "the code of an administrative unit that was not yet in force on the event's own day",
        source: UNITS,
        vectors: &[
            found("commune_code", &[("commune_code", EARLY), ("unit_version", "2025-06-30")]),
            quiet("commune_code", &[("commune_code", EARLY), ("unit_version", "2025-07-01")]),
        ],
    };
    /// Codes that never were.
    pub static UNKNOWN_UNIT_CODE: Rule = Rule {
        id: "unknown-unit-code",
        severity: Severity::Flag,
        finds: "a code that no administrative unit of the reference has had",
        source: UNITS,
        vectors: &[
            found("province_code", &[("province_code", "03")]),
            found("province_code", &[("province_code", "1")]),
            quiet("commune_code", &[("commune_code", "00004")]),
        ],
    };
    /// Days and instants to come.
    pub static DATE_IN_FUTURE: Rule = Rule {
        id: "date-in-future",
        severity: Severity::Flag,
        finds: "a date or time that cannot lie in the future and lies after the day of the change in Viet Nam",
        source: "a register holds what has happened",
        vectors: &[
            quiet("registered_on", &[("registered_on", "2026-09-07")]),
            found("registered_on", &[("registered_on", "2026-09-08")]),
            quiet("birth_date", &[("birth_date", "2026-09")]),
            found("birth_date", &[("birth_date", "2027")]),
            found("seen_at", &[("seen_at", "2026-09-08T00:00:00+07:00")]),
        ],
    };
    /// Texts in another normal form.
    pub static NOT_NFC: Rule = Rule {
        id: "not-nfc",
        severity: Severity::Flag,
        finds: "a text in decomposed letters; the event carries it in NFC",
        source: UNICODE,
        vectors: &[
            quiet("name", &[("name", "Nguyễn")]),
            found("name", &[("name", "Nguye\u{302}\u{303}n")]),
            quiet("name", &[("name", "Nguyen")]),
        ],
    };
    /// Texts in two normal forms.
    pub static MIXED_NORMALISATION: Rule = Rule {
        id: "mixed-normalisation",
        severity: Severity::Flag,
        finds: "a text in composed and decomposed letters; the event carries it in NFC",
        source: UNICODE,
        vectors: &[
            found("name", &[("name", "Trần Bi\u{300}nh")]),
            quiet("name", &[("name", "Tra\u{302}\u{300}n Bi\u{300}nh")]),
        ],
    };
    /// Characters that Unicode keeps for old data only.
    pub static DEPRECATED_TONE_MARK: Rule = Rule {
        id: "deprecated-tone-mark",
        severity: Severity::Flag,
        finds: "a text with U+0340 or U+0341; they vanish by NFC",
        source: UNICODE,
        vectors: &[
            found("name", &[("name", "Ho\u{341}a")]),
            found("name", &[("name", "Ha\u{340}")]),
            quiet("name", &[("name", "Ho\u{301}a")]),
        ],
    };
}
