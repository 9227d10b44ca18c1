//! The figures of a moment: what every participant and every subscription does, how much, how late.

use std::path::Path;
use std::time::Duration;

use lienthong_demo::Lag;
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::told::Told;
use crate::commands::{connect, route};
use crate::exit::Failure;
use crate::status_record::now;

/// Of every row.
pub(super) const COLUMNS: [&str; 7] = [
    "who",
    "state",
    "events",
    "lag_p50_seconds",
    "lag_p99_seconds",
    "fresh_through_age_seconds",
    "quarantined",
];

/// One participant or subscription.
pub(super) struct Figure {
    who: String,
    state: &'static str,
    events: u64,
    lag: Option<Lag>,
    /// Microseconds ago.
    fresh: Option<i64>,
    /// A subscription sets nothing aside.
    quarantined: Option<u64>,
}

/// Everybody.
pub(super) struct Figures {
    publishers: Vec<Figure>,
    subscriptions: Vec<Figure>,
}

impl Figures {
    /// A publisher's lag is from its commit to the log, as its connector measures it; a subscription's from the same commit to its row,
    /// as the receipts in the subscriber's database say.
    pub(super) async fn read(folder: &Path, fleet: &Fleet, told: &Told) -> Result<Self, Failure> {
        let at = now();
        let ago = |time: Option<i64>| time.map(|time| at - time);
        let names: Vec<(String, String)> =
            fleet.routers.iter().map(|(subscriber, name, _)| (subscriber.clone(), name.clone())).collect();
        let folder = folder.to_owned();
        let lags = tokio::task::spawn_blocking(move || {
            let lag =
                |(subscriber, name): &(String, String)| lienthong_demo::lag(&folder, subscriber, name, at);
            names.iter().map(lag).collect::<Result<Vec<Option<Lag>>, _>>()
        });
        let lags = lags.await??;
        let publisher = |(who, status): &super::fleet::Connecting| {
            let status = status.borrow();
            let filled = told.filled.contains(&who.as_str());
            Figure {
                who: who.clone(),
                state: if filled { connect::words(&status.state).0 } else { "making" },
                events: status.events,
                lag: Lag::of(status.recent.lags(at)),
                fresh: ago(status.fresh_through),
                quarantined: Some(status.quarantined),
            }
        };
        let subscription = |((_, who, status), lag): (&super::fleet::Routing, Option<Lag>)| {
            let status = status.borrow();
            let (state, fresh) = (route::words(&status.state).0, ago(status.fresh_through));
            Figure { who: who.clone(), state, events: status.events, lag, fresh, quarantined: None }
        };
        Ok(Self {
            publishers: fleet.connectors.iter().map(publisher).collect(),
            subscriptions: fleet.routers.iter().zip(lags).map(subscription).collect(),
        })
    }

    /// Whether something has been published: before that there is nothing to look at.
    pub(super) fn any(&self) -> bool {
        self.publishers.iter().any(|figure| figure.events > 0)
    }

    fn all(&self) -> impl Iterator<Item = &Figure> {
        self.publishers.iter().chain(&self.subscriptions)
    }

    /// For [`COLUMNS`].
    pub(super) fn rows(&self) -> Vec<Vec<Value>> {
        let row = |figure: &Figure| {
            let Figure { who, state, events, lag, fresh, quarantined } = figure;
            let (p50, p99) = lag.map(|lag| (lag.p50.as_secs_f64(), lag.p99.as_secs_f64())).unzip();
            let fresh = fresh.map(|micros| micros as f64 / 1e6);
            vec![
                json!(who),
                json!(state),
                json!(events),
                json!(p50),
                json!(p99),
                json!(fresh),
                json!(quarantined),
            ]
        };
        self.all().map(row).collect()
    }

    /// On one line.
    pub(super) fn words(&self) -> String {
        let live = self.all().filter(|figure| figure.state == "live").count();
        let aside: u64 = self.publishers.iter().filter_map(|figure| figure.quarantined).sum();
        format!(
            "{live} of {} live, {} events published, slowest publisher {}; {} delivered, slowest subscription {}; {aside} set aside",
            self.all().count(),
            events(&self.publishers),
            slowest(&self.publishers),
            events(&self.subscriptions),
            slowest(&self.subscriptions),
        )
    }
}

fn events(figures: &[Figure]) -> u64 {
    figures.iter().map(|figure| figure.events).sum()
}

fn slowest(figures: &[Figure]) -> String {
    let worst = |part: fn(&Lag) -> Duration| {
        let times = figures.iter().filter_map(|figure| figure.lag.as_ref()).map(part);
        times.max().map_or("-".to_owned(), millis)
    };
    format!("p50 {} p99 {}", worst(|lag| lag.p50), worst(|lag| lag.p99))
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}
