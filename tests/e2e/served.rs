//! A process that serves its metrics, and is asked for them.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lienthong_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::site::Site;

/// Longer than anything takes that is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// A process that serves its metrics. Dropping this kills it.
pub(crate) struct Served {
    pub(crate) child: Child,
    address: String,
    /// Where its standard error goes.
    said: PathBuf,
}

impl Served {
    pub(crate) fn start(site: &Site, arguments: &[&str]) -> Result<Self> {
        // Free a moment ago; a test that loses it to somebody else fails with the reason.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let name = format!("said-{}.log", address.replace(':', "-"));
        let child = site.start_into(&name, &[arguments, &["--metrics", &address]].concat())?;
        Ok(Self { child, address, said: site.path(&name) })
    }

    /// Status and body.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String)> {
        get(&self.address, path).await
    }

    pub(crate) async fn becomes(&self, status: u16) -> Result<String> {
        let mut body = String::new();
        // It may not listen yet.
        let asked = async || match self.get("/readyz").await {
            Ok((found, said)) => {
                body = said;
                Ok(found == status)
            }
            Err(_) => Ok(false),
        };
        eventually(SOON, asked).await.with_context(|| format!("/readyz is not {status}"))?;
        Ok(body)
    }

    /// Waits for a line of /metrics that begins like this; returns its value.
    pub(crate) async fn metric(&self, series: &str, wanted: impl Fn(f64) -> bool) -> Result<()> {
        let mut last = String::new();
        let told = async || {
            last = self.get("/metrics").await?.1;
            let line = last.lines().find_map(|line| line.strip_prefix(series));
            Ok(line.and_then(|value| value.trim().parse().ok()).is_some_and(&wanted))
        };
        eventually(SOON, told).await.with_context(|| format!("{series} is not as wanted"))
    }

    /// The sum of the series of /metrics that begin like this, and their number. A process that does not serve yet has none.
    pub(crate) async fn sum(&self, series: &str) -> (usize, f64) {
        let page = self.get("/metrics").await.map(|(_, body)| body).unwrap_or_default();
        let values = page.lines().filter(|line| line.starts_with(series));
        let values = values.map(|line| line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()));
        values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value.unwrap_or(0.0)))
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.said)?)
    }
}

/// Status and body of a page that somebody serves at this address.
pub(crate) async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer of HTTP")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, body.to_owned()))
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
