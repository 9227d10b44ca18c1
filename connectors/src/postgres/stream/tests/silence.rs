//! A server, or a network, that falls silent without a goodbye.

use std::time::Duration;

use lienthong_contract::source::SourceError;
use lienthong_testkit::private_postgres::PrivatePostgres;
use lienthong_testkit::proxy::TcpProxy;
use tokio::time::Instant;

use super::super::silence::Silence;
use super::*;

const SHORT: Silence = Silence { asked: Duration::from_secs(1), given_up: Duration::from_secs(4) };
/// What a busy machine may be late by.
const LATE: Duration = Duration::from_secs(4);

/// How long it took until the source was given up, and why.
async fn given_up(source: &mut LogSource, polls: bool) -> Result<(Duration, String)> {
    let began = Instant::now();
    loop {
        let done = if polls {
            source.poll(PollLimit { rows: 10 }, &mut Seen::default()).await.map(drop)
        } else {
            source.wait(Duration::from_millis(100)).await
        };
        match done {
            Err(SourceError::Unreachable { reason, .. }) => return Ok((began.elapsed(), reason)),
            done => done?,
        }
        anyhow::ensure!(began.elapsed() < SHORT.given_up + LATE, "nobody gives it up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up_and_one_that_has_nothing_to_say_is_not() -> Result<()> {
    // On a shared one others write all the time.
    let server = PrivatePostgres::start(&["autovacuum = off"]).await?;
    let proxy = TcpProxy::start(&server.address()).await?;
    let database = TestDatabase::create_on(&server.url()).await?;
    let through = database.url_through(&proxy.address())?;
    let (mut owner, mut source) = prepared(&database, &through, 5).await?;
    source.silence = SHORT;
    source.open().await?;
    source.seek(None).await?;
    assert_eq!(rest(&mut source, 100).await?.len(), 5);
    let quiet = Instant::now() + SHORT.given_up * 2;
    while Instant::now() < quiet {
        source.wait(Duration::from_millis(500)).await?;
    }
    for polls in [false, true] {
        proxy.hold();
        owner.execute("update person set rev = rev + 1 where id = 1").await?;
        let (took, reason) = given_up(&mut source, polls).await?;
        assert!(took < SHORT.given_up + LATE && took > SHORT.asked, "{took:?} {reason}");
        let told = if polls { "timed out" } else { "the server has been silent for too long" };
        assert!(reason.contains(told), "{reason}");
        proxy.drop_connections();
        proxy.release();
        source.open().await?;
        source.seek(None).await?;
        // Nothing was let go: all of it comes again.
        assert!(rest(&mut source, 100).await?.contains(&(RowOp::Update, 1)));
    }
    Ok(())
}
