//! The nation written into real SQLite databases, one for each system: every row fits its table, every update finds its row, and the
//! registers agree with each other after a long history.

use std::collections::{BTreeMap, VecDeque};

use lienthong_nation::{Config, Dirt, DirtRates, Kind, Nation, Op, Rates, RowWrite, Step, System, Value};
use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::{Connection, ToSql};

struct Cell<'a>(&'a Value);

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Owned(Sql::Null),
            Value::Int(number) => ToSqlOutput::Owned(Sql::Integer(*number)),
            Value::Text(text) => ToSqlOutput::from(text.as_ref()),
        })
    }
}

/// The databases of all systems.
struct Registers(BTreeMap<System, Connection>);

impl Registers {
    fn open() -> Self {
        let open = |system: System| {
            let connection = Connection::open_in_memory().expect("SQLite opens in memory");
            connection.set_prepared_statement_cache_capacity(200);
            for table in system.tables() {
                connection.execute_batch(table.create).expect(table.name);
            }
            (system, connection)
        };
        Self(System::ALL.into_iter().map(open).collect())
    }

    fn write(&self, row: &RowWrite) {
        let (sql, values) = row.statement();
        let mut statement = self.0[&row.system].prepare_cached(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let cells = values.into_iter().map(Cell);
        let rows =
            statement.execute(rusqlite::params_from_iter(cells)).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(rows, 1, "{sql} finds its row");
    }

    fn first_day(&self, nation: &Nation) {
        for system in System::ALL {
            self.0[&system].execute_batch("begin").expect("a transaction begins");
            for row in nation.initial_rows(system) {
                assert_eq!((row.system, row.op), (system, Op::Insert));
                self.write(&row);
            }
            self.0[&system].execute_batch("commit").expect("a transaction commits");
        }
    }

    fn count(&self, system: System, sql: &str) -> i64 {
        self.0[&system].query_row(sql, [], |row| row.get(0)).expect(sql)
    }
}

#[test]
fn a_long_history_leaves_registers_that_agree() {
    let config = Config { people: 10_000, rates: Rates::lively(), ..Config::default() };
    let mut nation = Nation::new(config).unwrap();
    let registers = Registers::open();
    registers.first_day(&nation);
    let mut kinds: BTreeMap<Kind, u32> = BTreeMap::new();
    for number in 1..=50_000 {
        let happening = nation.advance();
        assert_eq!(happening.number, number);
        assert!(!happening.steps.is_empty());
        *kinds.entry(happening.kind).or_default() += 1;
        for step in &happening.steps {
            assert!(!step.writes.is_empty());
            for row in &step.writes {
                assert_eq!(row.system, step.system);
                assert!(
                    row.op == Op::Insert || !row.is_rejected(),
                    "{} spoils a row that is there",
                    row.table
                );
                registers.write(row);
            }
        }
    }
    println!("{kinds:?}, {} live on {}", nation.living(), nation.today());
    println!("dirt of the first day {:?}, of life {:?}", nation.initial_dirt(), nation.dirt());
    for kind in Kind::ALL {
        assert!(kinds.contains_key(&kind), "{kind:?} never happened");
    }
    for dirt in Dirt::ALL {
        assert!(nation.dirt().get(&dirt).is_some_and(|count| *count > 0), "{dirt:?} never happened");
    }
    nobody_dies_twice(&registers);
    registers_know_the_same_people(&registers, &nation);
    families_are_possible(&registers);
}

fn nobody_dies_twice(registers: &Registers) {
    let twice =
        "select count(*) from (select deceased_pin from death_registration where status = 'registered'
        group by deceased_pin having count(*) > 1)";
    assert_eq!(registers.count(System::CivilStatus, twice), 0);
    let void = "select count(*) from death_registration d left join revocation r using (registration_no)
        where (d.status = 'revoked') != (r.registration_no is not null)";
    assert_eq!(registers.count(System::CivilStatus, void), 0);
    let young = "select count(*) from death_registration where death_date < deceased_birth_date
        and deceased_birth_date_precision = 'D' and deceased_birth_date < '2900'";
    assert_eq!(registers.count(System::CivilStatus, young), 0);
}

fn registers_know_the_same_people(registers: &Registers, nation: &Nation) {
    let alive = "select count(*) from person where life_status = 'alive'";
    let resident = "select count(*) from permanent_residence where status = 'registered'";
    let without = "select count(*) from permanent_residence where status = 'registered' and pin is null";
    let living = i64::from(nation.living());
    assert_eq!(registers.count(System::Residence, resident), living);
    let without = registers.count(System::Residence, without);
    assert_eq!(registers.count(System::Population, alive) + without, living);
    let dead =
        registers.count(System::Population, "select count(*) from person where life_status = 'deceased'");
    let registered = "select count(*) from death_registration where status = 'registered'";
    assert_eq!(registers.count(System::CivilStatus, registered), dead);
    let heads = "select count(*) from (select household_id, sum(relation_to_head = 'head') heads
        from permanent_residence where status = 'registered' group by household_id) where heads > 1";
    assert_eq!(registers.count(System::Residence, heads), 0);
    let ended = "select count(*) from permanent_residence where status = 'ended'
        and residence_file_no not in (select residence_file_no from deregistration)";
    assert_eq!(registers.count(System::Residence, ended), 0);
}

fn families_are_possible(registers: &Registers) {
    let mothers = "select count(*) from person c join person m on m.pin = c.mother_pin
        where c.birth_date < '2900' and m.birth_date < '2900'
        and substr(c.birth_date, 1, 4) - substr(m.birth_date, 1, 4) < 15";
    assert_eq!(registers.count(System::Population, mothers), 0);
    let pairs = "select count(*) from person a left join person b on b.pin = a.spouse_pin
        where a.spouse_pin is not null and a.life_status = 'alive'
        and (b.pin is null or b.spouse_pin is not a.pin or a.sex = b.sex)";
    assert_eq!(registers.count(System::Population, pairs), 0);
    let married = "select count(*) from person where (marital_status = 'married') != (spouse_pin is not null)
        and life_status = 'alive'";
    assert_eq!(registers.count(System::Population, married), 0);
}

#[test]
fn a_correction_says_what_the_register_held_before_it() {
    let rates = Rates { corrections: 50_000, ..Rates::lively() };
    let config = Config { people: 1_000, rates, dirt: DirtRates::none(), ..Config::default() };
    let mut nation = Nation::new(config).unwrap();
    let registers = Registers::open();
    registers.first_day(&nation);
    let (mut names, mut dates) = (0, 0);
    for _ in 0..1_000 {
        for row in nation.advance().steps.iter().flat_map(|step| &step.writes) {
            if row.table == "correction" {
                let columns: &[&str] = match row.value("fields_changed").and_then(Value::as_text) {
                    Some("birth_date") => &["birth_date", "birth_date_precision"],
                    _ => &["middle_name", "given_name"],
                };
                *if columns[0] == "birth_date" { &mut dates } else { &mut names } += 1;
                let number = row.value("registration_no").and_then(Value::as_text).unwrap();
                for column in columns {
                    let held: Option<String> = registers.0[&System::CivilStatus]
                        .query_row(
                            &format!(
                                "select child_{column} from birth_registration where registration_no = ?1"
                            ),
                            [number],
                            |found| found.get(0),
                        )
                        .unwrap();
                    let said = row.value(&format!("before_{column}")).and_then(Value::as_text);
                    assert_eq!(said, held.as_deref(), "{column}");
                }
            }
            registers.write(row);
        }
    }
    assert!(names > 100 && dates > 50, "{names} names and {dates} birth dates were corrected");
}

#[test]
fn a_reissued_pin_replaces_the_old_one_everywhere() {
    let rates = Rates { corrections: 50_000, ..Rates::lively() };
    let config =
        Config { people: 1_000, rates, reissue_pins: true, dirt: DirtRates::none(), ..Config::default() };
    let mut nation = Nation::new(config).unwrap();
    let registers = Registers::open();
    registers.first_day(&nation);
    for _ in 0..2_000 {
        for step in nation.advance().steps {
            step.writes.iter().for_each(|row| registers.write(row));
        }
    }
    let reissued: Vec<String> = registers.0[&System::Population]
        .prepare("select old_pin from pin_reissue")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(reissued.len() > 20, "only {} PINs were reissued", reissued.len());
    let holders = [
        (System::Population, "person", "pin"),
        (System::CivilStatus, "birth_registration", "child_pin"),
        (System::Insurance, "health_card", "pin"),
    ];
    for (system, table, column) in holders {
        let sql = format!("select count(*) from {table} where {column} in ('{}')", reissued.join("', '"));
        assert_eq!(registers.count(system, &sql), 0, "{table} holds a PIN that is void");
    }
}

#[test]
fn children_get_their_pin_in_time() {
    let mut nation =
        Nation::new(Config { people: 2_000, rates: Rates::lively(), ..Config::default() }).unwrap();
    let registers = Registers::open();
    registers.first_day(&nation);
    let without = "select count(*) from permanent_residence where pin is null";
    let first_day = registers.count(System::Residence, without);
    let mut most = first_day;
    for number in 1..=10_000 {
        for step in nation.advance().steps {
            step.writes.iter().for_each(|row| registers.write(row));
        }
        if number % 100 == 0 {
            most = most.max(registers.count(System::Residence, without));
        }
    }
    println!("{first_day} without a PIN on the first day, {most} at most");
    assert!(most < 60, "{most} people wait for a PIN");
    let twice = "select count(*) from (select child_pin from birth_registration where status = 'registered'
        and child_pin is not null group by child_pin having count(*) > 1)";
    assert_eq!(registers.count(System::CivilStatus, twice), 0);
}

#[test]
fn happenings_that_are_near_each_other_may_run_side_by_side() {
    let mut nation =
        Nation::new(Config { people: 2_000, rates: Rates::lively(), ..Config::default() }).unwrap();
    let registers = Registers::open();
    registers.first_day(&nation);
    let mut open: VecDeque<(u64, VecDeque<Step>)> = VecDeque::new();
    let mut chance: u64 = 1;
    for _ in 0..5_000 {
        let happening = nation.advance();
        open.push_back((happening.number, happening.steps.into()));
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Whatever is too old is finished first; then one step of any happening that is under way, most of them late.
        while open.front().is_some_and(|(number, _)| happening.number - number + 1 >= nation.apart()) {
            let (_, steps) = open.pop_front().unwrap();
            steps.iter().flat_map(|step| &step.writes).for_each(|row| registers.write(row));
        }
        let at = (chance >> 33) as usize % open.len();
        if let Some(step) = open[at].1.pop_front() {
            step.writes.iter().for_each(|row| registers.write(row));
        }
    }
    let rest = open.into_iter().flat_map(|(_, steps)| steps).flat_map(|step| step.writes);
    rest.for_each(|row| registers.write(&row));
    nobody_dies_twice(&registers);
    registers_know_the_same_people(&registers, &nation);
    families_are_possible(&registers);
}
