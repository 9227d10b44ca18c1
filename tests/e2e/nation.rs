//! A small table of administrative units that changes at random, and what every copy of it must hold.

use anyhow::Result;
use lienthong_testkit::admin_units::{self, CREATE_TABLE, STATE, copied_state};
use lienthong_testkit::database::Database;
use rand::Rng as _;
use rand::rngs::StdRng;

/// The owner's database.
pub(crate) struct Publisher {
    database: Database,
    next: u32,
}

impl Publisher {
    /// Creates the table.
    pub(crate) async fn create(url: &str) -> Result<Self> {
        let mut database = Database::open(url).await?;
        database.run(&[CREATE_TABLE.to_owned()]).await?;
        Ok(Self { database, next: 0 })
    }

    /// Inserts `count` units.
    pub(crate) async fn insert(&mut self, count: u32) -> Result<()> {
        let statements: Vec<String> = (0..count).map(|_| self.new_unit()).collect();
        self.database.run(&statements).await
    }

    /// One transaction of a few random changes: inserts, updates, deletes, key changes.
    pub(crate) async fn change(&mut self, random: &mut StdRng) -> Result<()> {
        let statements: Vec<String> =
            (0..random.random_range(1..6)).map(|_| self.statement(random)).collect();
        self.database.run(&statements).await
    }

    fn statement(&mut self, random: &mut StdRng) -> String {
        let code = random.random_range(0..self.next.max(1));
        let mark: u32 = random.random();
        match random.random_range(0..10) {
            0..4 => self.new_unit(),
            4..7 => format!(
                "update admin_unit set name = 'n{mark}', successors = '{mark},1' where code = '{code:05}'"
            ),
            // A unit that was deleted comes back; one that is there stays as it is.
            7 => format!(
                "insert into admin_unit (level, code, valid_from, name, full_name) values ('commune', '{code:05}', '2025-07-01', 'b{mark}', 'b') on conflict do nothing"
            ),
            8 => format!("delete from admin_unit where code = '{code:05}'"),
            _ => {
                let to = self.next;
                self.next += 1;
                format!("update admin_unit set code = '{to:05}' where code = '{code:05}'")
            }
        }
    }

    fn new_unit(&mut self) -> String {
        let code = self.next;
        self.next += 1;
        format!(
            "insert into admin_unit (level, code, valid_from, name, full_name) values ('commune', '{code:05}', '2025-07-01', 'xã {code}', 'Xã {code}')"
        )
    }

    /// The rows as they are now, in one order.
    pub(crate) async fn rows(&mut self) -> Result<Vec<Vec<Option<String>>>> {
        sorted(&mut self.database, &format!("select {STATE} from admin_unit")).await
    }
}

/// Creates the copy's table.
pub(crate) async fn create_copy(url: &str) -> Result<()> {
    Database::open(url).await?.run(&[admin_units::create_copy(url)]).await
}

/// The copy's rows that are not voided, in one order.
pub(crate) async fn copy(url: &str) -> Result<Vec<Vec<Option<String>>>> {
    let query = format!("select {} from admin_unit_copy where voided_at is null", copied_state(url));
    sorted(&mut Database::open(url).await?, &query).await
}

async fn sorted(database: &mut Database, query: &str) -> Result<Vec<Vec<Option<String>>>> {
    let mut rows = database.rows(query).await?;
    rows.sort();
    Ok(rows)
}

/// Receipts of a subscriber must follow one another without a gap or an overlap, each naming its predecessor's hash.
pub(crate) async fn check_receipts(url: &str) -> Result<u64> {
    let hex = if url.starts_with("sqlite") { "hex" } else { "" };
    let text = |column: &str| {
        if hex.is_empty() { format!("upper(encode({column}, 'hex'))") } else { format!("{hex}({column})") }
    };
    let query = format!(
        "select topic, cast(partition as text), cast(first_offset as text), cast(last_offset as text),
                cast(events_read as text), {}, {} from lienthong_receipt",
        text("previous_hash"),
        text("hash")
    );
    let mut rows = Database::open(url).await?.rows(&query).await?;
    let number = |row: &[Option<String>], column: usize| -> i64 {
        row[column].as_deref().unwrap_or_default().parse().unwrap_or(-1)
    };
    rows.sort_by_key(|row| (row[0].clone(), number(row, 1), number(row, 2)));
    let mut events = 0;
    for pair in rows.windows(2) {
        let same_lane = pair[0][..2] == pair[1][..2];
        if same_lane {
            anyhow::ensure!(number(&pair[0], 3) < number(&pair[1], 2), "two receipts overlap");
            anyhow::ensure!(pair[0][6] == pair[1][5], "a receipt does not name its predecessor");
        }
    }
    for row in &rows {
        events += u64::try_from(number(row, 4))?;
    }
    Ok(events)
}
