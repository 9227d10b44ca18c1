//! A nation whose registers stand in PostgreSQL, published by their outboxes and from the log of their server at once: whoever subscribes
//! to the one holds the same rows as whoever subscribes to the other.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lienthong_demo::{SUBSCRIBERS, subscriber_file};
use lienthong_nation::{Calendar, Config, Nation, Op, Rates, RowWrite, System, Value};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;

const SYSTEMS: [System; 5] =
    [System::CivilStatus, System::Population, System::Residence, System::Identity, System::Insurance];
const PEOPLE: u32 = 300;
const HAPPENINGS: u32 = 120;

/// A system's database.
struct Register {
    system: System,
    publisher: TestDatabase,
    database: Database,
}

/// With the nation's first day.
async fn registers(nation: &Nation) -> Result<Vec<Register>> {
    let mut registers = Vec::new();
    for system in SYSTEMS {
        let publisher = TestDatabase::create().await?;
        let mut database = Database::open(publisher.url()).await?;
        let mut statements = Vec::new();
        for table in system.tables() {
            statements.push(table.create.to_owned());
            statements.push(format!("alter table {} replica identity full", table.name));
        }
        statements.extend(nation.initial_rows(system).map(|row| sql(&row)));
        database.run(&statements).await?;
        registers.push(Register { system, publisher, database });
    }
    Ok(registers)
}

/// Each step of a happening is one transaction of one register.
async fn live(nation: &mut Nation, registers: &mut [Register]) -> Result<()> {
    for _ in 0..HAPPENINGS {
        for step in nation.advance().steps {
            let of = registers.iter_mut().find(|register| register.system == step.system);
            if let Some(register) = of {
                let statements: Vec<String> = step.writes.iter().map(sql).collect();
                register.database.run(&statements).await?;
            }
        }
    }
    Ok(())
}

fn sql(row: &RowWrite) -> String {
    let literal = |value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
    };
    let equal = |fields: &[(&'static str, Value)], between: &str| {
        let parts: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name} = {}", literal(value))).collect();
        parts.join(between)
    };
    let (table, key) = (row.table, equal(&row.key, " and "));
    match row.op {
        Op::Insert => {
            let (names, values): (Vec<&str>, Vec<String>) =
                row.values.iter().map(|(name, value)| (*name, literal(value))).unzip();
            format!("insert into {table} ({}) values ({})", names.join(", "), values.join(", "))
        }
        Op::Update => format!("update {table} set {} where {key}", equal(&row.values, ", ")),
        Op::Delete => format!("delete from {table} where {key}"),
    }
}

/// The national site in a folder of its own.
struct Country(tempfile::TempDir);

impl Country {
    /// Its registers are captured like this; `DATABASE` is a name of the server's own for each.
    fn new(registers: &[Register], capture: &str) -> Result<Self> {
        let country = Self(tempfile::tempdir()?);
        lienthong_demo::write(country.path(), None)?;
        for Register { system, publisher, .. } in registers {
            let participant = system.participant();
            let file = country.path().join(format!("connectors/ministries/{participant}.yaml"));
            let text = std::fs::read_to_string(&file)?;
            let before = format!(
                "{{kind: sqlite, url: \"sqlite:var/{participant}.db\", capture: {{mode: outbox, table: lienthong_outbox}}}}"
            );
            ensure!(text.contains(&before), "{participant} has another source");
            let capture = capture.replace("DATABASE", publisher.name());
            let after = format!("{{kind: postgres, url: \"{}\", capture: {capture}}}", publisher.url());
            std::fs::write(&file, text.replace(&before, &after))?;
        }
        Ok(country)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str], codes: &[i32]) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lienthong"));
        command.arg("--site").arg(self.path()).args(arguments).env_remove("LIENTHONG_LOG");
        let output = command.output()?;
        let code = output.status.code().context("a signal")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(codes.contains(&code), "lienthong {} ended with {code}: {said}", arguments.join(" "));
        Ok(())
    }

    fn prepare(&self) -> Result<()> {
        self.run(&["topics", "create"], &[0])?;
        self.run(&["schema", "register"], &[0])?;
        for system in SYSTEMS {
            self.run(&["connect", system.participant(), "--prepare"], &[0])?;
        }
        self.run(&["route", "--prepare"], &[0])
    }

    /// Publishes and delivers what there is. Some of the nation's rows are wrong, and are set aside.
    fn deliver(&self) -> Result<()> {
        for system in SYSTEMS {
            self.run(&["connect", system.participant(), "--once"], &[0, 5])?;
        }
        self.run(&["route", "--once"], &[0])
    }

    /// Every row of every subscriber, by table. The times at which rows were voided are those of the capture.
    async fn copies(&self) -> Result<Vec<(String, Vec<Vec<Option<String>>>)>> {
        let mut copies = Vec::new();
        for subscriber in SUBSCRIBERS {
            let url = format!("sqlite:{}", subscriber_file(self.path(), subscriber).display());
            let mut database = Database::open(&url).await?;
            let tables = database
                .rows(
                    "select name from sqlite_master where type = 'table' and name not like 'lienthong%'
                     and name not like 'sqlite%' order by name",
                )
                .await?;
            for table in tables.into_iter().flatten().flatten() {
                let columns =
                    database.rows(&format!("select name from pragma_table_info('{table}')")).await?;
                let columns = columns.into_iter().flatten().flatten();
                let told: Vec<String> = columns
                    .filter(|column| column != "lienthong_version")
                    .map(
                        |column| if column == "voided_at" { format!("{column} is not null") } else { column },
                    )
                    .collect();
                let mut rows = database.rows(&format!("select {} from {table}", told.join(", "))).await?;
                rows.sort();
                copies.push((format!("{subscriber} {table}"), rows));
            }
        }
        Ok(copies)
    }
}

/// Gives how many rows there are, which must be the same in both countries.
async fn same(one: &Country, other: &Country) -> Result<usize> {
    let mut count = 0;
    for ((table, rows), (_, others)) in one.copies().await?.into_iter().zip(other.copies().await?) {
        let differ = rows.iter().filter(|row| !others.contains(row)).count();
        ensure!(rows == others, "{table}: {} and {} rows, {differ} differ", rows.len(), others.len());
        count += rows.len();
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_nation_captured_from_the_log_gives_the_same_copies_as_by_outbox() -> Result<()> {
    let config = Config {
        people: PEOPLE,
        calendar: Calendar::Driven,
        rates: Rates::lively(),
        seed: lienthong_testkit::seed(),
        ..Config::default()
    };
    println!("seed {}", config.seed);
    let mut nation = Nation::new(config)?;
    let mut registers = registers(&nation).await?;
    let outbox = Country::new(&registers, "{mode: outbox, table: lienthong_outbox}")?;
    let log = Country::new(&registers, "{mode: log, slot: DATABASE}")?;
    outbox.run(&["keys", "new"], &[0])?;
    // Pseudonyms are made with the site's keys.
    std::fs::create_dir(log.path().join("secrets"))?;
    for key in ["secrets/subject.key", "secrets/seal.key"] {
        std::fs::copy(outbox.path().join(key), log.path().join(key))?;
    }
    for country in [&outbox, &log] {
        country.prepare()?;
        country.deliver()?;
    }
    let first = same(&outbox, &log).await?;
    ensure!(first > 2 * PEOPLE as usize, "{first} rows of the first day");
    live(&mut nation, &mut registers).await?;
    log.deliver()?;
    let differ = same(&outbox, &log).await;
    ensure!(differ.is_err(), "nothing has happened, or the comparison sees nothing");
    outbox.deliver()?;
    let last = same(&outbox, &log).await?;
    println!("{first} rows on the first day, {last} after {HAPPENINGS} happenings");
    Ok(())
}
