//! Clocks: wall time for what people read, boot time for leases.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::api::LogError;

/// Wall time in microseconds.
pub(super) fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// A clock that all processes of the machine share. On Linux nobody can set it and it goes on while the machine sleeps. On other systems it
/// is wall time: whoever sets that back keeps a dead holder's lease alive for as long, whoever sets it forward ends a live one's early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BootClock {
    /// Another boot id means that every lease written before is over.
    pub(super) boot: String,
}

impl BootClock {
    /// Reads the boot's id.
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> Result<Self, LogError> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|_| no_clock())?;
        Ok(Self { boot: boot.trim().to_owned() })
    }

    /// Milliseconds since boot, sleep included.
    #[cfg(target_os = "linux")]
    pub(super) fn now(&self) -> Result<i64, LogError> {
        let text = std::fs::read_to_string("/proc/uptime").map_err(|_| no_clock())?;
        parse_uptime(&text).ok_or_else(no_clock)
    }

    /// Without `/proc` wall time has to do: setting the clock there may move leases.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> Result<Self, LogError> {
        Ok(Self { boot: "wall".into() })
    }

    /// Milliseconds of wall time.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn now(&self) -> Result<i64, LogError> {
        Ok(now_micros() / 1000)
    }
}

#[cfg(target_os = "linux")]
fn no_clock() -> LogError {
    LogError::Refused(
        "/proc/uptime and /proc/sys/kernel/random/boot_id cannot be read; leases need them".into(),
    )
}

#[cfg(target_os = "linux")]
fn parse_uptime(text: &str) -> Option<i64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 1000 + hundredths.parse::<i64>().ok()? * 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn boot_time_goes_forward() {
        assert_eq!(parse_uptime("8123.45 1.00\n"), Some(8_123_450));
        assert_eq!(parse_uptime("x"), None);
        let clock = BootClock::new().expect("clock");
        assert_eq!(clock.boot.len(), 36);
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").expect("uptime");
            let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).expect("seconds");
            (seconds * 1000.0).round() as i64
        };
        let (before, first) = (uptime(), clock.now().expect("now"));
        std::thread::sleep(std::time::Duration::from_millis(30));
        let (second, after) = (clock.now().expect("now"), uptime());
        assert!(before <= first && first < second && second <= after, "{before} {first} {second} {after}");
        assert!(second - first >= 20, "milliseconds: {first} {second}");
    }
}
