//! Whatever stands in the files: reading them ends, without a panic, with a site or with problems that have a place and a fix.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use lienthong_contract::keys::{HashKey, SealKey};
use lienthong_site::Keys;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use support::{Folder, MOJ, PASSWORD, SITE, VSS};

const CASES: usize = 250;

/// What mutations put in: words of the format in wrong places, and what YAML finds hard.
const PIECES: [&str; 28] = [
    "null",
    "~",
    "[]",
    "{}",
    "{a: b}",
    "[a, {b: c}]",
    "\"${env:PASSWORD}\"",
    "\"${env:NO}\"",
    "${",
    "&a x",
    "*a",
    "<<: *a",
    "!!int x",
    "|\n",
    ": ",
    "- ",
    "\t",
    "\"",
    "'",
    "ệ",
    "\u{0}",
    "9999999999999999999999",
    "child",
    "restore",
    "event.child.pin",
    "---\n",
    "?",
    "%",
];

fn seed() -> u64 {
    let given = std::env::var("LIENTHONG_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64)
    });
    println!("LIENTHONG_TEST_SEED={seed}");
    seed
}

/// One small change to a text, on character boundaries.
fn mutated(text: &str, rng: &mut StdRng) -> String {
    let chars: Vec<char> = text.chars().collect();
    let place = rng.random_range(0..=chars.len());
    let end = (place + rng.random_range(0..12)).min(chars.len());
    let piece = PIECES[rng.random_range(0..PIECES.len())];
    let string = |range: &[char]| range.iter().collect::<String>();
    match rng.random_range(0..5) {
        0 => string(&chars[..place]) + &string(&chars[end..]),
        1 => string(&chars[..place]) + piece + &string(&chars[end..]),
        2 => string(&chars[..place]) + piece + &string(&chars[place..]),
        3 => string(&chars[..end]) + &string(&chars[place..]),
        _ => {
            // A value of another line in place of this one's.
            let lines: Vec<&str> = text.lines().collect();
            let (to, from) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
            let head = lines[to].split_once(": ").map_or(lines[to], |(head, _)| head);
            let tail = lines[from].split_once(": ").map_or(piece, |(_, tail)| tail);
            let changed = format!("{head}: {tail}");
            let all = lines
                .iter()
                .enumerate()
                .map(|(index, line)| if index == to { changed.as_str() } else { line });
            all.collect::<Vec<_>>().join("\n")
        }
    }
}

#[test]
fn no_change_of_the_files_makes_reading_panic_or_tell_a_secret() {
    let mut rng = StdRng::seed_from_u64(seed());
    let folder = Folder::new();
    let keys = Keys { subject: HashKey::new([1; 32]), seal: SealKey::new([2; 32]) };
    let right: Vec<(&str, String)> = [SITE, MOJ, VSS].map(|file| (file, folder.text(file))).into();
    let mut refused = 0;
    for _ in 0..CASES {
        let (file, text) = &right[rng.random_range(0..right.len())];
        let mut changed = text.clone();
        for _ in 0..rng.random_range(1..4) {
            changed = mutated(&changed, &mut rng);
        }
        folder.write(file, &changed);
        match folder.load() {
            Ok(site) => {
                let shown = format!("{site:?}");
                assert!(!shown.contains(PASSWORD), "{changed}");
                for subscription in site.subscribers().flat_map(|subscriber| subscriber.subscriptions(&keys))
                {
                    assert_eq!(subscription.validate(), Ok(()), "{changed}");
                }
            }
            Err(problems) => {
                refused += 1;
                assert!(!problems.is_empty());
                for problem in problems {
                    assert!(!problem.message.is_empty() && !problem.fix.is_empty(), "{problem}");
                    assert!(problem.line > 0 && problem.column > 0, "{problem}: {changed}");
                    assert!(!problem.to_string().contains(PASSWORD), "{problem}");
                }
            }
        }
        folder.write(file, text);
    }
    assert!(refused > CASES / 2, "{refused} of {CASES}: the changes hardly change anything");
}
