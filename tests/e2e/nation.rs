//! A small table of administrative units, and what every copy of it and every chain of receipts must hold.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use lienthong_testkit::admin_units::{self, CREATE_TABLE, STATE, copied_state};
use lienthong_testkit::database::Database;

use crate::site::Site;

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

/// Receipts of a subscriber must follow one another from the first on, without an overlap, each naming its predecessor's hash. Gives
/// the events that they count.
pub(crate) async fn check_receipts(url: &str) -> Result<u64> {
    Ok(receipts(url).await?.values().sum())
}

/// As [`check_receipts`], and they must count what the log holds, in each of its partitions: none is missing, none counts more.
pub(crate) async fn check_receipts_against(site: &Site, family: &str, url: &str) -> Result<()> {
    let (read, held) = (receipts(url).await?, site.events(family)?);
    ensure!(!held.is_empty(), "the log holds nothing");
    ensure!(read == held, "the receipts count {read:?}, the log holds {held:?}");
    Ok(())
}

/// Events that are counted by the receipts of each `topic/partition`, whose chains are checked.
async fn receipts(url: &str) -> Result<BTreeMap<String, u64>> {
    let text = |column: &str| match url.starts_with("sqlite") {
        true => format!("hex({column})"),
        false => format!("upper(encode({column}, 'hex'))"),
    };
    let query = format!(
        "select topic || '/' || cast(partition as text), cast(number as text), cast(first_offset as text),
                cast(last_offset as text), cast(events_read as text), {}, {} from lienthong_receipt",
        text("coalesce(previous_hash, '')"),
        text("hash")
    );
    let number = |text: &Option<String>| -> Result<i64> { Ok(text.as_deref().unwrap_or_default().parse()?) };
    let mut chains: BTreeMap<String, BTreeMap<i64, Receipt>> = BTreeMap::new();
    for row in Database::open(url).await?.rows(&query).await? {
        let [place, at, first, last, read, previous, hash] = &row[..] else { bail!("seven columns") };
        let receipt = Receipt {
            offsets: (number(first)?, number(last)?),
            events: u64::try_from(number(read)?)?,
            previous: previous.clone().unwrap_or_default(),
            hash: hash.clone().unwrap_or_default(),
        };
        let chain = chains.entry(place.clone().unwrap_or_default()).or_default();
        ensure!(chain.insert(number(at)?, receipt).is_none(), "two receipts have one number");
    }
    let mut events = BTreeMap::new();
    for (place, chain) in chains {
        let (mut next, mut previous, mut read_to) = (1, String::new(), -1);
        for (at, receipt) in &chain {
            ensure!(*at == next, "{place}: receipt {at} stands where number {next} belongs");
            ensure!(receipt.previous == previous, "{place}: receipt {at} does not name its predecessor");
            ensure!(receipt.offsets.0 > read_to, "{place}: receipt {at} overlaps with its predecessor");
            (next, previous, read_to) = (at + 1, receipt.hash.clone(), receipt.offsets.1);
        }
        events.insert(place, chain.values().map(|receipt| receipt.events).sum());
    }
    Ok(events)
}

struct Receipt {
    offsets: (i64, i64),
    events: u64,
    previous: String,
    hash: String,
}
