//! CPU and memory of processes, from /proc.

use std::fs;

/// Clock ticks per second of /proc; 100 on every Linux of today.
const TICKS: f64 = 100.0;

/// CPU seconds of a process with the children that it has reaped.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    ticks(&format!("/proc/{pid}/stat")).map_or(0.0, |(_, ticks)| ticks as f64 / TICKS)
}

/// CPU seconds of the children that this process has reaped.
pub(crate) fn cpu_of_reaped() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let reaped = fields.split_whitespace().skip(13).take(2);
    reaped.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// CPU seconds of all processes of that name, with the children that they have reaped.
pub(crate) fn cpu_of_all(name: &str) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let sum: u64 = processes
        .filter_map(|entry| ticks(&format!("{}/stat", entry.path().display())))
        .filter(|(command, _)| command == name)
        .map(|(_, ticks)| ticks)
        .sum();
    sum as f64 / TICKS
}

/// Largest resident size of a process, MiB.
pub(crate) fn peak_of(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}

/// Name, and user and system ticks of the process and of its reaped children.
fn ticks(path: &str) -> Option<(String, u64)> {
    let stat = fs::read_to_string(path).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let sum = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((name, sum))
}
