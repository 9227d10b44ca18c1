//! `make bench`: each figure is a ratio of paired, interleaved runs with its median, and the machine's load beside it.
//!
//! `lienthong-bench codec | append-embedded | append-kafka | drain [EVENTS] | latency | wal [EVENTS] | wal-latency | wal-whole | wal-load [ROWS] | all`; `drain
//! 1000000` shows the memory bounds, and `wal-whole` that of one transaction of two million rows.

mod append_embedded;
mod append_kafka;
mod codec;
mod counting;
mod fleet;
mod paired;
mod path;
mod proc;
mod topics;
mod wal;

use anyhow::{Result, bail};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Backlog of a drain, unless told otherwise.
const EVENTS: u64 = 100_000;
/// Events per second of the latency's run, and its length.
const RATE: u64 = 1_000;
const SECONDS: u64 = 20;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let what = std::env::args().nth(1).unwrap_or_else(|| "all".to_owned());
    paired::print_machine();
    match what.as_str() {
        "codec" => codec::run()?,
        "append-embedded" => append_embedded::run().await?,
        "append-kafka" => append_kafka::run().await?,
        "drain" => {
            path::drain(number(EVENTS)?).await?;
        }
        "wal" => wal::backlog(number(1_000_000)?).await?,
        "wal-latency" => wal::latency().await?,
        "wal-whole" => wal::whole(number(2_000_000)?).await?,
        "wal-load" => wal::load(number(1_000_000)?).await?,
        "latency" => path::latency(RATE, SECONDS).await?,
        "all" => {
            codec::run()?;
            append_embedded::run().await?;
            append_kafka::run().await?;
            path::drain(EVENTS).await?;
            path::latency(RATE, SECONDS).await?;
            wal::backlog(1_000_000).await?;
            wal::latency().await?;
            wal::whole(2_000_000).await?;
            wal::load(1_000_000).await?;
        }
        other => {
            bail!(
                "there is no bench {other}: codec, append-embedded, append-kafka, drain, latency, wal, wal-latency, wal-whole, wal-load, all"
            )
        }
    }
    Ok(())
}

/// The second argument.
fn number(usual: u64) -> Result<u64> {
    Ok(std::env::args().nth(2).map_or(Ok(usual), |text| text.parse())?)
}
