//! Entries of `lienthong_version`: read under lock, written back in sets.

use std::collections::BTreeMap;

use lienthong_contract::keys::KeyHash;
use lienthong_contract::ledger::LedgerEntry;
use lienthong_contract::sink::SinkError;
use sqlx::Row as _;

use super::sink::Place;

/// Reads the entries of these keys, locked until the transaction ends, in the order of hashes, in which `keys` stand. Key by key,
/// because a list of keys lets a planner that knows nothing of a young table read the whole of it for each batch.
pub(super) async fn read(
    place: &mut Place<'_>,
    keys: &[KeyHash],
) -> Result<BTreeMap<KeyHash, LedgerEntry>, SinkError> {
    let hashes: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
    let sql = "select v.key_hash, v.entry from unnest($2::bytea[]) s(key_hash) cross join lateral ( \
           select key_hash, entry from lienthong_version \
           where table_name = $1 and lienthong_version.key_hash = s.key_hash for update) v";
    let rows =
        sqlx::query(sql).bind(&place.fitted.table.table).bind(hashes).fetch_all(&mut *place.conn).await;
    let rows = rows.map_err(|error| place.own_error(&error))?;
    let mut entries = BTreeMap::new();
    for row in rows {
        let hash: Vec<u8> = row.try_get("key_hash").map_err(|error| place.own_error(&error))?;
        let text: String = row.try_get("entry").map_err(|error| place.own_error(&error))?;
        let entry = serde_json::from_str(&text).ok().zip(<[u8; 16]>::try_from(hash).ok());
        let Some((entry, hash)) = entry else {
            let table = &place.fitted.table.table;
            return Err(SinkError::Unfit {
                problem: format!(
                    "{}: an entry of lienthong_version for {table} cannot be read",
                    place.target
                ),
                fix: "restore lienthong_version from a backup together with the table".to_owned(),
            });
        };
        entries.insert(KeyHash(hash), entry);
    }
    Ok(entries)
}

/// Writes entries. New ones that another transaction has made in between give [`SinkError::Busy`]: what was judged without them must
/// be judged again.
pub(super) async fn keep(
    place: &mut Place<'_>,
    known: &[(KeyHash, LedgerEntry)],
    new: &[(KeyHash, LedgerEntry)],
) -> Result<(), SinkError> {
    let update = "update lienthong_version v set entry = s.entry \
         from unnest($2::bytea[], $3::text[]) s(key_hash, entry) \
         where v.table_name = $1 and v.key_hash = s.key_hash";
    write(place, update, known).await?;
    let insert = "insert into lienthong_version (table_name, key_hash, entry) \
         select $1, s.key_hash, s.entry from unnest($2::bytea[], $3::text[]) s(key_hash, entry) \
         order by s.key_hash on conflict (table_name, key_hash) do nothing";
    let written = write(place, insert, new).await?;
    if written == new.len() as u64 {
        return Ok(());
    }
    Err(SinkError::Busy {
        target: place.target.to_owned(),
        reason: format!("another worker has just written a row of {}", place.fitted.table.table),
    })
}

async fn write(
    place: &mut Place<'_>,
    sql: &'static str,
    entries: &[(KeyHash, LedgerEntry)],
) -> Result<u64, SinkError> {
    if entries.is_empty() {
        return Ok(0);
    }
    let hashes: Vec<Vec<u8>> = entries.iter().map(|(key, _)| key.0.to_vec()).collect();
    let texts: Result<Vec<String>, _> =
        entries.iter().map(|(_, entry)| serde_json::to_string(entry)).collect();
    let texts = texts.map_err(|_| SinkError::Unfit {
        problem: "an entry of the ledger cannot be written as text".to_owned(),
        fix: "report this as a defect".to_owned(),
    })?;
    let done = sqlx::query(sql)
        .bind(&place.fitted.table.table)
        .bind(hashes)
        .bind(texts)
        .execute(&mut *place.conn)
        .await;
    Ok(done.map_err(|error| place.own_error(&error))?.rows_affected())
}
