//! Waiting for something that happens soon.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `probe` again and again until it says yes, at most for `at_most`.
///
/// # Errors
/// The probe's own error, at once; or that the time is over.
pub async fn eventually(at_most: Duration, mut probe: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !probe().await? {
        if began.elapsed() > at_most {
            bail!("it did not come true within {at_most:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
