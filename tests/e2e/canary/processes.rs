//! A connector and a router as processes of their own, with bad rows and a subscriber that refuses; their pages are read while they run.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::eventually;
use lienthong_testkit::process::Process;

use super::nationwide::{Nationwide, free_address};
use super::{CHANGE_BIRTHS, CIVIL_STATUS};
use crate::served::SOON;

/// Ends within the time that a stop may take.
const STOPS: Duration = Duration::from_secs(10);

/// The sum of the series of a page that begin like this.
fn sum(page: &str, series: &str) -> f64 {
    let values = page.lines().filter(|line| line.starts_with(series));
    values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Looks at the pages until they tell what is awaited.
async fn tells(
    nation: &mut Nationwide,
    process: &Process,
    address: &str,
    what: impl Fn(&str, (u16, &str)) -> bool,
) -> Result<()> {
    let mut last = String::new();
    let asked = eventually(SOON, async || {
        // It does not listen yet.
        let Ok([(_, metrics), (_, alive), (status, ready)]) = nation.look(address).await else {
            return Ok(false);
        };
        ensure!(alive == "alive\n", "/healthz says {alive:?}");
        last = format!("{status} {ready}\n{metrics}");
        Ok(what(&metrics, (status, &ready)))
    });
    let ended = asked.await;
    ended.with_context(|| format!("{last}\n{}", process.output().unwrap_or_default()))
}

pub(super) async fn show_themselves(nation: &mut Nationwide) -> Result<()> {
    // Something to publish, some of it bad, and something that a subscriber's trigger refuses with the values in its words.
    nation.change(CIVIL_STATUS, CHANGE_BIRTHS).await?;
    let bad = "update birth_registration set child_birth_date = 'Khuyểuh', registered_on = '001085730194'
        where rowid in (select rowid from birth_registration order by rowid desc limit 20)";
    nation.change(CIVIL_STATUS, bad).await?;
    let (connects, routes) = (free_address()?, free_address()?);
    // What they say lies in files of the folder, where everything is searched.
    let start = |nation: &Nationwide, arguments: &[&str], name: &str| {
        Process::start(&mut nation.command(arguments), &nation.temporary().join(name))
    };
    let mut router = start(nation, &["route", "--metrics", &routes], "route.said")?;
    let arguments = ["connect", CIVIL_STATUS, "--heartbeat", "1", "--metrics", &connects];
    let mut connector = start(nation, &arguments, "connect.said")?;
    let quarantined = format!("lienthong_connector_quarantined_rows_total{{participant=\"{CIVIL_STATUS}\"");
    let published = format!("lienthong_connector_events_total{{participant=\"{CIVIL_STATUS}\"");
    tells(nation, &connector, &connects, |metrics, (status, _)| {
        status == 200 && sum(metrics, &published) > 0.0 && sum(metrics, &quarantined) > 0.0
    })
    .await?;
    let delivered = "lienthong_subscription_delivered_events_total{subscriber=\"moh.ehr\"";
    let halted = "lienthong_subscription_state{subscriber=\"mps.population\",family=\"civil_status\",state=\"halted\"}";
    tells(nation, &router, &routes, |metrics, (status, ready)| {
        let names = ready.contains("mps.population/civil_status");
        status == 503 && names && sum(metrics, delivered) > 0.0 && sum(metrics, halted) == 1.0
    })
    .await?;
    for (process, code) in [(&mut connector, 130), (&mut router, 3)] {
        process.terminate()?;
        let status = process.wait(STOPS).await?;
        ensure!(status.code() == Some(code), "{status}, not {code}: {}", process.output()?);
    }
    Ok(())
}
