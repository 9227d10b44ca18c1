//! People who move: a family of twelve partitions, each change of a person numbered, and a subscriber whose own trigger writes down
//! every number that it ever saw, in order.

use anyhow::{Result, ensure};
use lienthong_testkit::database::Database;
use rand::Rng as _;
use rand::rngs::StdRng;

/// The publisher.
pub(crate) const PARTICIPANT: &str = "mps.residence";

/// `ministries/mps.residence.yaml`; KIND and URL are filled in.
pub(crate) const MINISTRY: &str = r#"participant: mps.residence
organisation: Ministry of Public Security
source: {kind: KIND, url: "URL", capture: {mode: outbox, table: lienthong_outbox}}
publishes:
  - event: residence.permanent.registered
    from: {table: residence, key: [file_no]}
    fields:
      residence_file_no: file_no
      pin: pin
      address.street: street
      valid_from: {value: "2026-01-01"}
"#;

/// `agreements/mps.population.yaml`.
pub(crate) const AGREEMENT: &str = r#"agreement: mps.population/2026-01
subscriber: mps.population
purpose: P1
legal_basis: "Decree 154/2024/ND-CP"
valid: {from: 2026-01-01, until: 2099-12-31}
target: {kind: KIND, url: "URL"}
delivers:
  - event: residence.permanent.registered
    fields: [residence_file_no, pin, address.street]
    into: {table: resident, key: [file_no], columns: {file_no: residence_file_no, pin: pin, street: address.street}}
    on_revoked: hard
"#;

/// The owner's database. `street` holds the number of the person's last change.
pub(crate) struct Residents {
    database: Database,
    people: u32,
    changes: u32,
}

impl Residents {
    /// Creates the table.
    pub(crate) async fn create(url: &str) -> Result<Self> {
        let mut database = Database::open(url).await?;
        let table =
            "create table residence (file_no text primary key, pin text not null, street text not null)";
        database.run(&[table.to_owned()]).await?;
        Ok(Self { database, people: 0, changes: 0 })
    }

    /// Lets the log hold rows as they were.
    pub(crate) async fn log_whole_rows(&mut self) -> Result<()> {
        self.database.run(&["alter table residence replica identity full".to_owned()]).await
    }

    /// New people.
    pub(crate) async fn insert(&mut self, people: u32) -> Result<()> {
        let first = self.people;
        self.people += people;
        let rows: Vec<String> = (first..self.people)
            .map(|n| format!("insert into residence values ('HK{n:06}', '0010900{n:05}', '00000000')"))
            .collect();
        self.database.run(&rows).await
    }

    /// So many moves of random people, in transactions of one to five.
    pub(crate) async fn change_many(&mut self, random: &mut StdRng, moves: u32) -> Result<()> {
        let mut left = moves;
        while left > 0 {
            let some = random.random_range(1..=5).min(left);
            left -= some;
            let statements: Vec<String> = (0..some)
                .map(|_| {
                    self.changes += 1;
                    let person = random.random_range(0..self.people);
                    format!(
                        "update residence set street = '{:08}' where file_no = 'HK{person:06}'",
                        self.changes
                    )
                })
                .collect();
            self.database.run(&statements).await?;
        }
        Ok(())
    }

    /// One transaction of a few random changes: people come, move, leave and come back, and files get other numbers.
    pub(crate) async fn change(&mut self, random: &mut StdRng) -> Result<()> {
        let statements: Vec<String> =
            (0..random.random_range(1..6)).map(|_| self.statement(random)).collect();
        self.database.run(&statements).await
    }

    fn statement(&mut self, random: &mut StdRng) -> String {
        self.changes += 1;
        let (person, street) = (random.random_range(0..self.people), format!("{:08}", self.changes));
        match random.random_range(0..10) {
            0..3 => {
                let n = self.next();
                format!("insert into residence values ('HK{n:06}', '0010900{n:05}', '{street}')")
            }
            3..7 => format!("update residence set street = '{street}' where file_no = 'HK{person:06}'"),
            // Who has left comes back; who is there stays as they are.
            7 => format!(
                "insert into residence values ('HK{person:06}', '0010900{person:05}', '{street}') on conflict do nothing"
            ),
            8 => format!("delete from residence where file_no = 'HK{person:06}'"),
            _ => {
                let to = self.next();
                format!("update residence set file_no = 'HK{to:06}' where file_no = 'HK{person:06}'")
            }
        }
    }

    fn next(&mut self) -> u32 {
        self.people += 1;
        self.people - 1
    }

    /// The rows as they are now.
    pub(crate) async fn rows(&mut self) -> Result<Vec<Vec<Option<String>>>> {
        self.database.rows("select file_no, pin, street from residence order by file_no").await
    }
}

/// The subscriber's table, and its own journal of what was ever written there.
pub(crate) async fn create_copy(url: &str) -> Result<()> {
    let table = "create table resident (file_no text primary key, pin text, street text)";
    let statements: Vec<&str> = if url.starts_with("sqlite") {
        vec![
            table,
            "create table journal (n integer primary key autoincrement, file_no text, street text)",
            "create trigger journal_insert after insert on resident begin insert into journal (file_no, street) values (new.file_no, new.street); end",
            "create trigger journal_update after update on resident begin insert into journal (file_no, street) values (new.file_no, new.street); end",
        ]
    } else {
        vec![
            table,
            "create table journal (n bigint generated always as identity primary key, file_no text, street text)",
            "create function journal() returns trigger language plpgsql as $$ begin insert into journal (file_no, street) values (new.file_no, new.street); return null; end $$",
            "create trigger journal after insert or update on resident for each row execute function journal()",
        ]
    };
    let mut database = Database::open(url).await?;
    for statement in statements {
        database.run(&[statement.to_owned()]).await?;
    }
    Ok(())
}

/// The copy's rows.
pub(crate) async fn copy(url: &str) -> Result<Vec<Vec<Option<String>>>> {
    Database::open(url).await?.rows("select file_no, pin, street from resident order by file_no").await
}

/// No person's row ever went back to an earlier change, and no change was written twice.
pub(crate) async fn check_order(url: &str) -> Result<()> {
    let journal =
        Database::open(url).await?.rows("select file_no, street from journal order by file_no, n").await?;
    ensure!(!journal.is_empty(), "the journal is empty");
    for pair in journal.windows(2) {
        if pair[0][0] == pair[1][0] {
            ensure!(pair[0][1] < pair[1][1], "a row went back, or was written twice");
        }
    }
    Ok(())
}
