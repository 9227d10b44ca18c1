//! An event's checks compiled against the slots that a publication fills, and run over its cells.

use bumpalo::Bump;

use super::dates::{Days, OPEN, day_of, days, year};
use super::pin::{Pin, is_known_province};
use super::rules::{Rule, rule};
use super::units::{Level, Standing, Units};
use super::{Checks, DEFAULT_MAX_LENGTH, text};
use crate::cell::Cell;
use crate::date;
use crate::edtf::PartialDate;
use crate::path::FieldPath;
use crate::schema::{FieldType, RecordSchema};

/// One finding: a rule, and the slot of the field that it names.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// What was found.
    pub rule: &'static Rule,
    /// Index of the field among the plan's slots.
    pub slot: usize,
}

/// The checks of one publication.
#[derive(Clone, Debug, Default)]
pub struct QualityPlan {
    persons: Vec<Person>,
    units: Vec<Unit>,
    dates: Vec<DateText>,
    past: Vec<usize>,
    changed: Option<Changed>,
    texts: Vec<Text>,
}

#[derive(Clone, Copy, Debug)]
struct Person {
    pin: usize,
    sex: Option<usize>,
    birth_date: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    code: usize,
    level: Level,
    on: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct DateText {
    slot: usize,
    open: bool,
}

/// The list of a delta event, and what it may name.
#[derive(Clone, Debug)]
struct Changed {
    slot: usize,
    known: Vec<FieldPath>,
}

#[derive(Clone, Copy, Debug)]
struct Text {
    slot: usize,
    max_length: usize,
}

impl QualityPlan {
    /// Compiles an event's checks. `slots` are the fields that the publication fills; what looks at another one is
    /// left out, because that field is always null.
    #[must_use]
    pub fn compile(checks: &Checks, schema: &RecordSchema, slots: &[FieldPath]) -> QualityPlan {
        let slot = |path: &FieldPath| slots.iter().position(|known| known == path);
        let kind = |path: &FieldPath| schema.field(path.as_str()).map(|field| &field.kind);
        let optional = |path: &Option<FieldPath>| path.as_ref().and_then(slot);
        let persons = checks.persons.iter().filter_map(|person| {
            let (sex, birth_date) = (optional(&person.sex), optional(&person.birth_date));
            Some(Person { pin: slot(&person.pin)?, sex, birth_date })
        });
        let units = checks.units.iter().filter_map(|unit| {
            Some(Unit { code: slot(&unit.code)?, level: unit.level, on: optional(&unit.on) })
        });
        let dates = slots.iter().enumerate().filter_map(|(slot, path)| {
            let open = checks.open_dates.contains(path);
            let text = kind(path) == Some(&FieldType::Text);
            (text && checks.holds_date(path)).then_some(DateText { slot, open })
        });
        let texts = slots.iter().enumerate().filter_map(|(slot, path)| {
            let text =
                matches!(kind(path)?, FieldType::Text | FieldType::List | FieldType::Map | FieldType::Record);
            let max_length = checks.max_length.get(path).copied().unwrap_or(DEFAULT_MAX_LENGTH);
            text.then_some(Text { slot, max_length })
        });
        QualityPlan {
            persons: persons.collect(),
            units: units.collect(),
            dates: dates.collect(),
            changed: checks.changed.as_ref().and_then(slot).map(|slot| Changed {
                slot,
                known: schema
                    .fields()
                    .iter()
                    .map(|field| field.path.clone())
                    .filter(|path| !checks.before.as_ref().is_some_and(|before| before.covers(path)))
                    .collect(),
            }),
            past: checks.past.iter().filter_map(slot).collect(),
            texts: texts.collect(),
        }
    }

    /// Judges a row. Texts in another normal form are replaced by NFC that lies in `arena`; findings that only flag are
    /// appended. `at` is the instant of the change, microseconds since 1970 UTC.
    ///
    /// # Errors
    /// The finding that refuses the row. Numbers are judged before anything is normalised.
    pub fn judge<'a>(
        &self,
        cells: &mut [Cell<'a>],
        at: i64,
        arena: &'a Bump,
        flags: &mut Vec<Flag>,
    ) -> Result<(), Flag> {
        let today = day_of(at);
        for person in &self.persons {
            person.judge(cells, today, flags)?;
        }
        for date in &self.dates {
            date.judge(cells)?;
        }
        if let Some(changed) = &self.changed {
            changed.judge(cells)?;
        }
        for text in &self.texts {
            let refused = |rule| Flag { rule, slot: text.slot };
            if let Some(mended) = text::judge(&cells[text.slot], text.max_length, arena).map_err(refused)? {
                cells[text.slot] = mended.cell;
                flags.push(Flag { rule: mended.rule, slot: text.slot });
            }
        }
        for unit in &self.units {
            unit.judge(cells, today, flags);
        }
        for slot in &self.past {
            // By days also for instants: clocks of two machines differ by seconds.
            if days(&cells[*slot]).is_some_and(|days| days.first > today) {
                flags.push(Flag { rule: &rule::DATE_IN_FUTURE, slot: *slot });
            }
        }
        Ok(())
    }
}

impl Checks {
    /// Whether a text is a partial date: said so, or compared as one.
    #[must_use]
    pub fn holds_date(&self, path: &FieldPath) -> bool {
        let compared = |other: &Option<FieldPath>| other.as_ref() == Some(path);
        [&self.dates, &self.open_dates, &self.past].iter().any(|list| list.contains(path))
            || self.persons.iter().any(|person| compared(&person.birth_date))
            || self.units.iter().any(|unit| compared(&unit.on))
    }
}

impl Person {
    fn judge(self, cells: &[Cell<'_>], today: i32, flags: &mut Vec<Flag>) -> Result<(), Flag> {
        let finding = |rule: &'static Rule| Flag { rule, slot: self.pin };
        let pin = match &cells[self.pin] {
            Cell::Null => return Ok(()),
            Cell::Str(text) => Pin::parse(text).ok_or_else(|| finding(&rule::PIN_FORM))?,
            _ => return Err(finding(&rule::PIN_FORM)),
        };
        if !is_known_province(pin.province()) {
            flags.push(finding(&rule::PIN_UNKNOWN_PROVINCE));
        }
        let female = match self.sex.map(|slot| cells[slot]) {
            Some(Cell::Str("female")) => Some(true),
            Some(Cell::Str("male")) => Some(false),
            _ => None,
        };
        if female.is_some_and(|female| female != pin.is_female()) {
            flags.push(finding(&rule::PIN_SEX_MISMATCH));
        }
        let (century, last_two) = (pin.century(), u16::from(pin.year_of_century()));
        let (other_century, other_year) = match self.birth_date.and_then(|slot| year(&cells[slot])) {
            Some(born) => (born / 100 * 100 != century, born % 100 != last_two),
            None => {
                let now = u16::try_from(date::civil_from_days(today).0).unwrap_or(u16::MAX);
                (century > now, century <= now && century + last_two > now)
            }
        };
        if other_century {
            flags.push(finding(&rule::PIN_CENTURY_MISMATCH));
        }
        if other_year {
            flags.push(finding(&rule::PIN_YEAR_MISMATCH));
        }
        Ok(())
    }
}

impl DateText {
    fn judge(self, cells: &[Cell<'_>]) -> Result<(), Flag> {
        let Cell::Str(text) = &cells[self.slot] else { return Ok(()) };
        if (self.open && *text == OPEN) || PartialDate::parse(text).is_some() {
            return Ok(());
        }
        Err(Flag { rule: &rule::NOT_A_DATE, slot: self.slot })
    }
}

impl Changed {
    fn judge(&self, cells: &[Cell<'_>]) -> Result<(), Flag> {
        let Cell::List(names) = &cells[self.slot] else { return Ok(()) };
        let known = |name: &Cell<'_>| matches!(name, Cell::Str(name) if self.known.iter().any(|path| path.as_str() == *name));
        if names.iter().all(known) {
            return Ok(());
        }
        Err(Flag { rule: &rule::UNKNOWN_CHANGED_FIELD, slot: self.slot })
    }
}

impl Unit {
    fn judge(self, cells: &[Cell<'_>], today: i32, flags: &mut Vec<Flag>) {
        let Cell::Str(code) = &cells[self.code] else { return };
        let on = self.on.and_then(|slot| days(&cells[slot])).unwrap_or(Days::one(today));
        let rule = match Units::bundled().standing(self.level, code, on) {
            Standing::InForce => return,
            Standing::Retired => &rule::RETIRED_UNIT_CODE,
            Standing::Early => &rule::EARLY_UNIT_CODE,
            Standing::Unknown => &rule::UNKNOWN_UNIT_CODE,
        };
        flags.push(Flag { rule, slot: self.code });
    }
}
