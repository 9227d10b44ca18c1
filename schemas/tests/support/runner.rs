//! Runs a property with a seed that is printed first and can be given.

use std::env;
use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Cases of a property, unless `LIENTHONG_CASES` says otherwise.
const CASES: u32 = 500;
/// Cases of a property on which every byte on the bus depends.
const THOUSANDS: u32 = 4_000;

/// `LIENTHONG_TEST_SEED` repeats a run; `LIENTHONG_CASES` changes the number of cases of each property.
pub(crate) fn check<S>(name: &str, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S: Strategy,
    S::Value: Debug,
{
    run(name, CASES, strategy, property);
}

/// As [`check`], with thousands of cases.
pub(crate) fn check_thousands<S>(
    name: &str,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) where
    S: Strategy,
    S::Value: Debug,
{
    run(name, THOUSANDS, strategy, property);
}

fn run<S>(name: &str, cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S: Strategy,
    S::Value: Debug,
{
    let number = |key: &str| env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
    let seed = number("LIENTHONG_TEST_SEED").unwrap_or(clock);
    let cases = number("LIENTHONG_CASES").map_or(cases, |cases| cases as u32);
    println!("{name}: {cases} cases, LIENTHONG_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, property) {
        panic!("{name}, LIENTHONG_TEST_SEED={seed}: {error}");
    }
}
