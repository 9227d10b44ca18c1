//! Paired, interleaved runs: A B, B A, A B ..; the figure is the median of the pairs' ratios.

use std::time::Instant;

/// Rounds per figure.
pub(crate) const ROUNDS: usize = 7;

/// What the machine was doing: a figure without it means nothing.
pub(crate) fn print_machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg");
    let model = read("/proc/cpuinfo");
    let model = model.lines().find(|line| line.starts_with("model name")).unwrap_or("").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine: {cores} cores, {}; load {}", model.trim_start_matches("model name\t: "), load.trim());
}

/// Seconds of one call.
pub(crate) fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// One figure: seconds of both sides over all rounds.
#[derive(Default)]
pub(crate) struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Adds a round.
    pub(crate) fn push(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// Prints how many times as fast ours is, with the range, against the bound.
    pub(crate) fn report(&self, name: &str, items: u64, unit: &str, bound: f64) {
        let ratios: Vec<f64> =
            self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours).collect();
        let (low, middle, high) = spread(&ratios);
        let per_item = |seconds: &[f64]| spread(seconds).1 / items as f64 * 1e6;
        println!(
            "{name}: {middle:.2}x ({low:.2}-{high:.2}), bound {bound}x: {}; {:.3} us against {:.3} us per {unit}, {} rounds",
            if middle >= bound { "reached" } else { "MISSED" },
            per_item(&self.ours),
            per_item(&self.theirs),
            ratios.len()
        );
    }
}

pub(crate) fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}
