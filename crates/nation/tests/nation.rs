//! Promises about the people and about repetition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use chrono::NaiveDate;
use lienthong_nation::{
    Calendar, Config, ConfigError, Dirt, Happening, Nation, Op, Rates, RowWrite, System, Value,
};
use sha2::{Digest as _, Sha256};

/// The history of `config(42)`, pinned: another digest means that the same seed no longer makes the same nation.
const DIGEST: &str = "658f93ae95e9d9c1a498a33a92e77481919e600f500a24c141f8fee5e8bf24db";

fn config(seed: u64) -> Config {
    Config { seed, people: 3_000, rates: Rates::lively(), ..Config::default() }
}

fn text<'a>(row: &'a RowWrite, column: &str) -> &'a str {
    row.value(column).and_then(Value::as_text).unwrap_or_default()
}

fn hash_row(hash: &mut Sha256, row: &RowWrite) {
    let mut line = format!("{:?} {} {:?}", row.system, row.table, row.op);
    for (name, value) in row.key.iter().chain(&row.values) {
        match value {
            Value::Null => line.push_str(&format!("|{name}=null")),
            Value::Int(number) => line.push_str(&format!("|{name}={number}")),
            Value::Text(text) => line.push_str(&format!("|{name}='{text}'")),
        }
    }
    line.push_str(&format!(" {:?}\n", row.dirt));
    hash.update(line.as_bytes());
}

fn hash_happening(hash: &mut Sha256, happening: &Happening) {
    hash.update(format!("{} {:?} {}", happening.number, happening.kind, happening.day).as_bytes());
    for step in &happening.steps {
        hash.update(format!("{:?} {:?} {:?}", step.system, step.delay, step.dossier).as_bytes());
        step.writes.iter().for_each(|row| hash_row(hash, row));
    }
}

fn digest(config: Config) -> String {
    let mut nation = Nation::new(config).expect("the configuration is sound");
    let mut hash = Sha256::new();
    for system in System::ALL {
        nation.initial_rows(system).for_each(|row| hash_row(&mut hash, &row));
    }
    (0..3_000).for_each(|_| hash_happening(&mut hash, &nation.advance()));
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_same_seed_makes_the_same_nation_and_the_same_history() {
    let first = digest(config(42));
    assert_eq!(first, digest(config(42)));
    assert_ne!(first, digest(config(43)));
    assert_eq!(first, DIGEST);
}

#[test]
fn the_first_day_can_be_had_again_after_a_history() {
    let mut nation = Nation::new(config(7)).unwrap();
    let before: Vec<RowWrite> = nation.initial_rows(System::Residence).collect();
    (0..500).for_each(|_| drop(nation.advance()));
    assert!(nation.initial_rows(System::Residence).eq(before));
}

#[test]
fn names_are_as_frequent_as_in_the_country() {
    let nation = Nation::new(Config { people: 30_000, ..Config::default() }).unwrap();
    let mut families: HashMap<String, u32> = HashMap::new();
    let mut styles = BTreeSet::new();
    let (mut people, mut thi, mut women) = (0, 0, 0);
    for row in nation.initial_rows(System::Population).filter(|row| row.dirt.is_empty()) {
        people += 1;
        *families.entry(text(&row, "family_name").to_owned()).or_default() += 1;
        let old_woman = text(&row, "sex") == "female" && text(&row, "birth_date") < "1965";
        women += u32::from(old_woman);
        thi += u32::from(old_woman && text(&row, "middle_name") == "Thị");
        let full = text(&row, "full_name");
        for (style, is) in [
            ("clan after", full.starts_with("H'") && full.contains(" Niê")),
            ("no family", full.starts_with("Y ") && row.value("family_name").is_none()),
            ("single token", !full.contains(' ')),
            ("Khmer", full.starts_with("Thạch ")),
            ("Hmong", full.starts_with("Giàng A ")),
        ] {
            if is {
                styles.insert(style);
            }
        }
    }
    let share = |name: &str| f64::from(families.get(name).copied().unwrap_or(0)) * 100.0 / f64::from(people);
    let bounds = [
        ("Nguyễn", 28.0, 34.0),
        ("Trần", 9.0, 12.5),
        ("Lê", 7.5, 10.5),
        ("Phạm", 4.5, 7.5),
        ("Hoàng", 1.5, 5.0),
        ("Huỳnh", 1.5, 5.0),
        ("Vũ", 1.5, 4.5),
        ("Võ", 1.5, 4.5),
    ];
    for (name, low, high) in bounds {
        assert!((low..=high).contains(&share(name)), "{name}: {:.1} %", share(name));
    }
    assert!(thi * 100 > women * 70, "{thi} of {women} women of the old generation are Thị");
    assert_eq!(styles.len(), 5, "found only {styles:?}");
}

#[test]
fn pins_are_valid_and_nobody_shares_one() {
    let mut nation = Nation::new(config(3)).unwrap();
    let rows: Vec<RowWrite> = nation.initial_rows(System::Population).collect();
    // By name: a province that lives on under another code has two.
    let mut provinces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in nation.initial_rows(System::AdminUnits).filter(|row| text(row, "level") == "province") {
        for name in ["name", "full_name"] {
            let codes = provinces.entry(text(&row, name).to_owned()).or_default();
            codes.insert(format!("0{}", text(&row, "code")));
        }
    }
    for row in &rows {
        let (pin, birth) = (text(row, "pin"), text(row, "birth_date"));
        assert!(pin.len() == 12 && pin.bytes().all(|digit| digit.is_ascii_digit()), "a PIN has 12 digits");
        let province = provinces[text(row, "birth_registration_place")].contains(&pin[..3]);
        let female = text(row, "sex") == "female";
        let sex = (pin.as_bytes()[3] - b'0') % 2 == u8::from(female);
        let century = u32::from(pin.as_bytes()[3] - b'0') / 2 * 100 + 1900;
        let year = birth.starts_with("29")
            || format!("{}", century + pin[4..6].parse::<u32>().unwrap()) == birth[..4];
        assert_eq!(province, !row.dirt.contains(&Dirt::PinProvince));
        assert_eq!(sex, !row.dirt.contains(&Dirt::PinSex));
        assert!(year != row.dirt.contains(&Dirt::PinYear), "{:?}", row.dirt);
    }
    (0..2_000).for_each(|_| drop(nation.advance()));
    let pins: Vec<String> = nation.pins().collect();
    assert_eq!(pins.iter().collect::<HashSet<_>>().len(), pins.len());
}

#[test]
fn what_is_near_in_time_concerns_other_people() {
    let mut nation = Nation::new(config(5)).unwrap();
    let apart = nation.apart();
    let mut last: HashMap<String, u64> = HashMap::new();
    for _ in 0..10_000 {
        let happening = nation.advance();
        let rows = happening.steps.iter().flat_map(|step| &step.writes).filter(|row| row.op == Op::Update);
        let keys: BTreeSet<String> = rows
            .filter(|row| row.table != "admin_unit" && !text(row, "status").eq("revoked"))
            .map(|row| format!("{} {}", row.table, row.key[0].1.as_text().unwrap_or_default()))
            .collect();
        for key in keys {
            if let Some(before) = last.insert(key, happening.number) {
                assert!(happening.number - before >= apart, "one row, {} apart", happening.number - before);
            }
        }
    }
}

#[test]
fn a_calendar_that_is_driven_stands_still_until_told() {
    let calendar = Calendar::Driven;
    let mut nation = Nation::new(Config { calendar, ..config(9) }).unwrap();
    let start = nation.today();
    (0..1_000).for_each(|_| assert_eq!(nation.advance().day, start));
    let later = start + chrono::Days::new(40);
    nation.set_today(later);
    nation.set_today(start);
    assert_eq!(nation.advance().day, later);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |config: Config| Nation::new(config).err().unwrap();
    assert_eq!(refused(Config { people: 99, ..config(1) }), ConfigError::People(99));
    let start = NaiveDate::from_ymd_opt(2025, 6, 30).unwrap();
    assert_eq!(refused(Config { start, ..config(1) }), ConfigError::Start(start));
}

#[test]
fn rows_say_what_is_wrong_with_them_and_what_was_meant() {
    let nation = Nation::new(Config { people: 20_000, ..Config::default() }).unwrap();
    let mut counts: BTreeMap<Dirt, u64> = BTreeMap::new();
    for row in System::ALL.into_iter().flat_map(|system| nation.initial_rows(system)) {
        row.dirt.iter().for_each(|dirt| *counts.entry(*dirt).or_default() += 1);
        assert_eq!(row.is_rejected(), !row.meant.is_empty());
        let wide = row.values.iter().filter_map(|(_, value)| value.as_text()).any(|text| text.contains('０'));
        assert!(!wide || row.dirt.contains(&Dirt::WidePin));
        for (column, meant) in &row.meant {
            assert_ne!(row.value(column), Some(meant));
        }
    }
    assert_eq!(counts, nation.initial_dirt());
    let of_life = [Dirt::Duplicate];
    for dirt in Dirt::ALL.into_iter().filter(|dirt| !of_life.contains(dirt)) {
        assert!(counts.contains_key(&dirt), "{dirt:?} does not occur");
    }
}

#[test]
fn every_canary_is_in_the_data_and_every_name_is_made_of_them() {
    let canaries = Nation::canaries();
    let mut nation = Nation::new(Config { canaries: true, ..config(11) }).unwrap();
    let mut rows: Vec<RowWrite> =
        System::ALL.into_iter().flat_map(|system| nation.initial_rows(system)).collect();
    for _ in 0..3_000 {
        rows.extend(nation.advance().steps.into_iter().flat_map(|step| step.writes));
    }
    let mut seen: BTreeSet<&&str> = BTreeSet::new();
    for row in &rows {
        for (_, value) in &row.values {
            let value = value.as_text().unwrap_or_default();
            seen.extend(canaries.iter().filter(|canary| value.contains(**canary)));
        }
        if row.table == "person" && row.op == Op::Insert && !row.dirt.contains(&Dirt::Nfd) {
            assert!(text(row, "full_name").split(' ').all(|word| canaries.contains(&word)));
        }
    }
    let missing: Vec<_> = canaries.iter().filter(|canary| !seen.contains(*canary)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
    let plain = Nation::new(config(11)).unwrap();
    for row in System::ALL.into_iter().flat_map(|system| plain.initial_rows(system)) {
        let values = row.values.iter().filter_map(|(_, value)| value.as_text());
        assert!(!values.into_iter().any(|text| canaries.iter().any(|canary| text.contains(canary))));
    }
}

#[test]
fn time_and_size_of_a_larger_nation() {
    let people = 100_000;
    let begin = Instant::now();
    let mut nation = Nation::new(Config { people, ..Config::default() }).unwrap();
    let made = begin.elapsed();
    let rows: usize = System::ALL.into_iter().map(|system| nation.initial_rows(system).count()).sum();
    let streamed = begin.elapsed();
    (0..20_000).for_each(|_| drop(nation.advance()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!(
        "{people} people in {made:?}, {rows} rows in {:?}, 20,000 happenings in {:?}, {memory}",
        streamed - made,
        begin.elapsed() - streamed
    );
}
