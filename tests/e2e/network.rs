//! A network that goes silent, drops its connections some time later, and comes back.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::proxy::TcpProxy;
use tokio::time::{Instant, sleep_until};

use crate::from_log::written;
use crate::history;
use crate::residents::{self, PARTICIPANT, Residents};
use crate::site::{Engine, Site, log_address};
use crate::stops::is;
use crate::turmoil::ends_equal;

/// Rows of one transaction: more than ten batches.
const ROWS: i64 = 40_000;
/// Of its bytes so many come before the cut: a quarter at most.
const BEFORE: u64 = 1 << 20;
const SILENT: Duration = Duration::from_secs(12);
const CUT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(60);

/// Ends with the test.
struct Running(Vec<(&'static str, Child)>);

impl Running {
    fn all_run(&mut self) -> Result<()> {
        for (name, child) in &mut self.0 {
            ensure!(child.try_wait()?.is_none(), "the {name} has ended");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // It may have ended already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_cut_of_30_s_in_the_middle_of_a_transaction_loses_doubles_and_disorders_nothing()
-> Result<()> {
    let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let proxy = TcpProxy::start(&publisher.address()?).await?;
    let through = publisher.url_through(&proxy.address())?;
    let site = Site::residence(Engine::Embedded, &through, &subscriber)?;
    site.capture_from_log(publisher.name())?;
    let mut owner = Residents::create(publisher.url()).await?;
    owner.log_whole_rows().await?;
    owner.insert(20).await?;
    residents::create_copy(&subscriber).await?;
    site.prepare()?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let mut database = Database::open(publisher.url()).await?;
    database.run(&history::KEEP.map(str::to_owned)).await?;
    let transaction = [
        format!(
            "insert into residence select 'HL' || n, '001' || lpad(n::text, 9, '0'), 'new' from generate_series(1, {ROWS}) n"
        ),
        "update residence set street = 'moved' where file_no like 'HL%7'".to_owned(),
        "delete from residence where file_no like 'HL%77'".to_owned(),
    ];
    database.run(&transaction).await?;

    let before = written(&site).await?;
    proxy.hold_after_bytes(BEFORE);
    let connector = site.start(&["connect", PARTICIPANT, "--heartbeat", "1"])?;
    let mut running = Running(vec![("connector", connector), ("router", site.start(&["route"])?)]);
    eventually(SOON, async || Ok(proxy.held() > 0)).await.context("the cut")?;
    let began = Instant::now();
    // What happens meanwhile comes behind it.
    owner.insert(30).await?;
    database.run(&["update residence set street = 'again' where file_no like 'HL%17'".to_owned()]).await?;
    sleep_until(began + SILENT).await;
    proxy.cut();
    sleep_until(began + CUT).await;
    let come = written(&site).await? - before;
    ensure!((1..ROWS / 2).contains(&come), "{come} events: not in the middle of the transaction");
    running.all_run()?;
    proxy.release();
    proxy.heal();
    eventually(SOON, async || Ok(written(&site).await? > before + ROWS)).await.context("it goes on")?;
    is(&site, PARTICIPANT, "live").await?;
    running.all_run()?;
    drop(running);
    let (events, writers) =
        ends_equal(&site, &log_address(Engine::Embedded), publisher.url(), &subscriber).await?;
    ensure!(events > usize::try_from(ROWS)? && writers > 1, "{events} events by {writers} connectors");
    Ok(())
}
