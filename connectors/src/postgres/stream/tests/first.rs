//! How fast a first load goes, and what it tells of itself.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

const ROWS: u32 = 405;
const RATE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_keeps_to_its_rate_and_counts_on_where_another_connector_left_it() -> Result<()> {
    let database = TestDatabase::create().await?;
    let (mut owner, source) = prepared(&database, database.url(), ROWS).await?;
    owner.execute("analyze person").await?;
    let mut source = source.at_rate(Some(RATE));
    source.open().await?;
    source.seek(None).await?;
    let began = Instant::now();
    let told = source.first_load().expect("it begins");
    assert_eq!((told.rows, told.total, told.estimated), (0, Some(u64::from(ROWS)), true));
    let (mut seen, mut position) = (Seen::default(), None);
    while seen.0.len() < 100 {
        position = Some(source.poll(PollLimit { rows: 100 }, &mut seen).await?.position);
        let told = source.first_load().expect("it goes on");
        assert_eq!((told.rows, told.total), (seen.0.len() as u64, Some(u64::from(ROWS))));
        let allowed = f64::from(RATE).mul_add(began.elapsed().as_secs_f64(), f64::from(RATE / 4) + 1.0);
        assert!((seen.0.len() as f64) <= allowed, "{} rows where {allowed} are allowed", seen.0.len());
    }
    // Changes do not wait for it.
    owner.execute("insert into person values (1000, 1)").await?;
    while !seen.0.contains(&(RowOp::Insert, 1000)) {
        position = Some(source.poll(PollLimit { rows: 100 }, &mut seen).await?.position);
    }
    let before = source.first_load().expect("still under way").rows;
    assert!(before < u64::from(ROWS), "the change came by");

    source.open().await?;
    source.seek(position.as_ref()).await?;
    let told = source.first_load().expect("it goes on");
    assert_eq!(told.rows, before);
    assert!(told.total.is_some_and(|total| total > before && total < 2 * u64::from(ROWS)), "{told:?}");
    // What a row that comes behind the last key adds was not expected.
    while !source.poll(PollLimit { rows: 100 }, &mut seen).await?.caught_up {}
    assert_eq!(source.first_load(), None);
    let took = began.elapsed();
    let least = Duration::from_secs_f64(f64::from(ROWS - RATE) / f64::from(RATE));
    assert!(took > least, "{took:?}");
    Ok(())
}
