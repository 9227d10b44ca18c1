//! The nation as a whole: its state, its calendar, and what comes next.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike as _, Days, NaiveDate};

use crate::config::{Calendar, Config, ConfigError};
use crate::dirt::DirtCounts;
use crate::names;
use crate::person::{Household, Person};
use crate::pin::{self, Pins};
use crate::random::Random;
use crate::rows::InitialRows;
use crate::tables::System;
use crate::write::{Field, Happening, Kind, RowWrite, Step};

/// People of the country that the rates are about.
const COUNTRY_PEOPLE: u64 = 101_000_000;
const SECONDS_A_YEAR: u64 = 365 * 86_400;

/// Something that has been arranged.
pub(crate) enum Task {
    /// A child gets its PIN.
    AssignPin(u32),
    /// What the bus refused is mended.
    Repair { person: u32, system: System, table: &'static str, key: Vec<Field>, meant: Vec<Field> },
}

/// A nation. See the crate's documentation.
pub struct Nation {
    pub(crate) config: Config,
    pub(crate) people: Vec<Person>,
    pub(crate) households: Vec<Household>,
    pub(crate) living: u32,
    pub(crate) pins: Pins,
    pub(crate) random: Random,
    pub(crate) today: NaiveDate,
    /// Number of the happening that is being made.
    pub(crate) happened: u64,
    /// Communes that have become wards.
    pub(crate) renamed: BTreeSet<u16>,
    /// Numbers of the birth notices of the first day, by child.
    pub(crate) first_notices: BTreeMap<u32, String>,
    /// Last notice of each kind, facility and year.
    notices: BTreeMap<(&'static str, String, i32), u32>,
    /// Seconds since the start, where the calendar runs.
    clock: u64,
    /// Last of the numbers that files, cards, decisions and registrations share.
    counter: u32,
    tasks: BTreeMap<u64, Vec<Task>>,
    dirt: DirtCounts,
}

impl Nation {
    /// The nation on its first day. A million people take about 140 MB and some seconds.
    ///
    /// # Errors
    /// When the configuration asks for what cannot be.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let people = config.people as usize;
        let mut nation = Self {
            people: Vec::with_capacity(people),
            households: Vec::with_capacity(people / 3),
            living: 0,
            pins: Pins::new(people),
            random: Random::new(config.seed),
            today: config.start,
            happened: 0,
            renamed: BTreeSet::new(),
            first_notices: BTreeMap::new(),
            notices: BTreeMap::new(),
            clock: 0,
            // People and couples of the start have taken the numbers up to here.
            counter: 2 * config.people + 1,
            tasks: BTreeMap::new(),
            dirt: DirtCounts::new(),
            config,
        };
        nation.populate();
        Ok(nation)
    }

    /// The configuration that it was made from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The nation's day.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.today
    }

    /// Moves a driven calendar forward; a day that has passed stays passed, and a calendar that runs stays as it is.
    pub fn set_today(&mut self, day: NaiveDate) {
        if self.config.calendar == Calendar::Driven {
            self.today = self.today.max(day);
        }
    }

    /// How many happenings there have been.
    #[must_use]
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// How many live.
    #[must_use]
    pub fn living(&self) -> u32 {
        self.living
    }

    /// Happenings whose numbers differ by less than this never concern the same people, so their steps may run side by side. A driver
    /// finishes a happening before it starts the one that comes so many later.
    #[must_use]
    pub fn apart(&self) -> u64 {
        u64::from((self.config.people / 50).clamp(2, 1_000))
    }

    /// The rows of a system on the first day, table by table of the people in turn; always the same, however much has happened since
    /// (which then makes the first day once more, beside this nation).
    #[must_use]
    pub fn initial_rows(&self, system: System) -> InitialRows<'_> {
        InitialRows::new(self, system)
    }

    /// How much dirt the rows of the first day hold. Makes all of them.
    #[must_use]
    pub fn initial_dirt(&self) -> DirtCounts {
        let mut counts = DirtCounts::new();
        for row in System::ALL.into_iter().flat_map(|system| self.initial_rows(system)) {
            count(&mut counts, &row);
        }
        counts
    }

    /// How much dirt the happenings have written so far.
    #[must_use]
    pub fn dirt(&self) -> &DirtCounts {
        &self.dirt
    }

    /// Words and numbers that occur in a nation of canaries and nowhere else: every name there is made of them, every address and every
    /// phone number has one, and so has every cause of death that is known. Dirt writes some of them in NFD.
    #[must_use]
    pub fn canaries() -> &'static [&'static str] {
        names::canaries()
    }

    /// Every PIN that anybody has, the dead included.
    pub fn pins(&self) -> impl Iterator<Item = String> {
        self.people.iter().filter(|person| person.pin != 0).map(|person| pin::text(person.pin))
    }

    /// What happens next. Never ends.
    pub fn advance(&mut self) -> Happening {
        self.happened += 1;
        let (kind, steps) = self.appointed().unwrap_or_else(|| {
            self.pass_time();
            self.drawn()
        });
        let happening = Happening { number: self.happened, kind, day: self.today, steps };
        self.note(&happening.steps);
        happening
    }

    /// A number that nothing else has.
    pub(crate) fn number(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// The next number of a notice of the facility that a person goes to: `00123.GCS.79012.26`.
    pub(crate) fn notice_no(&mut self, kind: &'static str, patient: u32, on: NaiveDate) -> String {
        let facility = self.facility_of(patient);
        let last = self.notices.entry((kind, facility.clone(), on.year())).or_default();
        *last += 1;
        format!("{last:05}.{kind}.{facility}.{:02}", on.year() % 100)
    }

    /// Whether this happening may concern somebody.
    pub(crate) fn is_idle(&self, person: u32) -> bool {
        self.happened >= self.people[person as usize].free_from
    }

    /// Whether somebody lives, has a PIN, and this happening may concern them.
    pub(crate) fn is_free(&self, person: u32) -> bool {
        let known = &self.people[person as usize];
        known.alive && known.pin != 0 && self.is_idle(person)
    }

    /// Keeps people out of the next happenings.
    pub(crate) fn touch(&mut self, people: &[u32]) {
        let free_from = self.happened + self.apart();
        for person in people {
            self.people[*person as usize].free_from = free_from;
        }
    }

    /// Arranges something for so many happenings later.
    pub(crate) fn arrange(&mut self, later: u64, task: Task) {
        self.tasks.entry(self.happened + later).or_default().push(task);
    }

    fn pass_time(&mut self) {
        if self.config.calendar == Calendar::Driven {
            return;
        }
        let a_year = self.config.rates.total() * 1_000 * u64::from(self.config.people);
        self.clock += (SECONDS_A_YEAR as u128 * u128::from(COUNTRY_PEOPLE) / u128::from(a_year)) as u64;
        self.today = self.config.start + Days::new(self.clock / 86_400);
    }

    /// What was arranged for now and can be done.
    fn appointed(&mut self) -> Option<(Kind, Vec<Step>)> {
        let mut due = self.tasks.first_entry().filter(|entry| *entry.key() <= self.happened)?;
        let task = due.get_mut().pop();
        if due.get().is_empty() {
            due.remove();
        }
        let task = task?;
        let (person, needs_pin) = match &task {
            Task::AssignPin(person) => (*person, false),
            Task::Repair { person, .. } => (*person, true),
        };
        if !self.is_idle(person) || (needs_pin && self.people[person as usize].pin == 0) {
            let later = self.apart();
            self.arrange(later, task);
            return None;
        }
        self.touch(&[person]);
        Some(match task {
            Task::AssignPin(person) => (Kind::PinAssigned, self.assign_pin(person)),
            Task::Repair { system, table, key, meant, .. } => {
                (Kind::Repair, self.repair(system, table, key, meant))
            }
        })
    }

    /// What happens by chance.
    fn drawn(&mut self) -> (Kind, Vec<Step>) {
        let rates = self.config.rates.by_kind();
        let drawn = rates[self.random.weighted(rates.iter().map(|(_, rate)| *rate))].0;
        for kind in [drawn, Kind::Card] {
            if let Some(steps) = self.happen(kind) {
                return (kind, steps);
            }
        }
        let steps = self.insure_anybody();
        (Kind::Insurance, steps.expect("half of the people are always alive and few of them are busy"))
    }

    /// Counts the dirt of what was written, and arranges that most of what is refused gets mended.
    fn note(&mut self, steps: &[Step]) {
        for row in steps.iter().flat_map(|step| &step.writes) {
            count(&mut self.dirt, row);
            if !row.meant.is_empty() && self.random.percent(70) {
                let later = self.apart() + u64::from(self.random.below(50));
                let task = Task::Repair {
                    person: row.about,
                    system: row.system,
                    table: row.table,
                    key: row.key.clone(),
                    meant: row.meant.clone(),
                };
                self.arrange(later, task);
            }
        }
    }
}

fn count(counts: &mut DirtCounts, row: &RowWrite) {
    for dirt in &row.dirt {
        *counts.entry(*dirt).or_default() += 1;
    }
}
