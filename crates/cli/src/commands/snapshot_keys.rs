//! Keys and ranges as people write them. Pure, but for the reading of the file.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use lienthong_capture::Wanted;
use lienthong_capture::requests::LONGEST;

use crate::exit::{Code, Failure};

/// Keys of one request: more become several.
const AT_ONCE: usize = 10_000;
/// No key is longer; what is longer is another file.
const LONGEST_KEY: usize = 1_024;
/// So many mistakes are told.
const TOLD: usize = 20;

/// A file of keys, read once: standard input gives it only once.
pub(super) struct KeyFile {
    /// As people know it.
    name: String,
    bytes: Vec<u8>,
}

/// Reads it.
pub(super) fn read(file: &Path) -> Result<KeyFile, Failure> {
    let (name, bytes) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        ("standard input".to_owned(), bytes)
    } else {
        let failed = |error: std::io::Error| {
            Failure::new(Code::Configuration, format!("--keys: {}: {}", file.display(), error.kind()))
        };
        (file.display().to_string(), std::fs::read(file).map_err(failed)?)
    };
    Ok(KeyFile { name, bytes })
}

/// The keys of a file, sorted, each once.
pub(super) fn keys(file: &KeyFile, columns: &[String]) -> Result<BTreeSet<Vec<String>>, Failure> {
    parse(&file.bytes, columns).map_err(|mistakes| {
        let name = &file.name;
        let told = mistakes.iter().take(TOLD).map(|(line, what)| format!("{name}:{line}: {what}"));
        let mut told: Vec<String> = told.collect();
        if mistakes.len() > TOLD {
            told.push(format!("{name}: {} more", mistakes.len() - TOLD));
        }
        Failure::problems(told)
    })
}

/// Lines with what is wrong in them, never what stands there: a key may be a number of a person.
fn parse(bytes: &[u8], columns: &[String]) -> Result<BTreeSet<Vec<String>>, Vec<(usize, String)>> {
    let mut lines =
        bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).split(|byte| *byte == b'\n').zip(1..);
    let mut places: Vec<usize> = vec![0];
    if columns.len() > 1 {
        let header = lines.next().and_then(|(line, _)| cells(line).ok()).unwrap_or_default();
        let place = |column: &String| header.iter().position(|name| name == column);
        places = columns.iter().filter_map(place).collect();
        if places.len() != columns.len() || header.len() != columns.len() {
            let wanted = columns.join(",");
            return Err(vec![(1, format!("the first line must name the columns of the key: {wanted}"))]);
        }
    }
    let (mut keys, mut mistakes) = (BTreeSet::new(), Vec::new());
    for (line, number) in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        match key(line, &places) {
            Ok(key) => drop(keys.insert(key)),
            Err(what) => mistakes.push((number, what)),
        }
    }
    if keys.is_empty() && mistakes.is_empty() {
        mistakes.push((1, "no key stands here".to_owned()));
    }
    if mistakes.is_empty() { Ok(keys) } else { Err(mistakes) }
}

fn key(line: &[u8], places: &[usize]) -> Result<Vec<String>, String> {
    let cells = if places.len() > 1 { cells(line)? } else { vec![text(line)?.to_owned()] };
    if cells.len() != places.len() {
        return Err(format!("{} values stand here, and a key has {}", cells.len(), places.len()));
    }
    if cells.iter().any(|cell| cell.len() > LONGEST_KEY) {
        return Err(format!("a value is longer than {LONGEST_KEY} bytes"));
    }
    Ok(places.iter().filter_map(|place| cells.get(*place)).cloned().collect())
}

fn text(line: &[u8]) -> Result<&str, String> {
    match std::str::from_utf8(line) {
        Ok(text) if text.contains('\0') => Err("a zero byte stands here".to_owned()),
        Ok(text) => Ok(text),
        Err(_) => Err("this is not UTF-8".to_owned()),
    }
}

/// The cells of one line of CSV: quoted where they hold a comma or a quote, which is doubled then.
fn cells(line: &[u8]) -> Result<Vec<String>, String> {
    let line = text(line.strip_suffix(b"\r").unwrap_or(line))?;
    let (mut cells, mut cell, mut quoted, mut ended) = (Vec::new(), String::new(), false, false);
    let mut signs = line.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                cell.push('"');
            }
            '"' if quoted => (quoted, ended) = (false, true),
            '"' if cell.is_empty() && !ended => quoted = true,
            ',' if !quoted => {
                cells.push(std::mem::take(&mut cell));
                ended = false;
            }
            _ if ended || (sign == '"' && !quoted) => {
                return Err("a quote stands inside a value".to_owned());
            }
            _ => cell.push(sign),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    cells.push(cell);
    Ok(cells)
}

/// Requests that are small enough.
pub(super) fn requests(keys: BTreeSet<Vec<String>>) -> Vec<Wanted> {
    let (mut all, mut some, mut bytes) = (Vec::new(), Vec::new(), 0);
    for key in keys {
        // As JSON a sign takes six bytes at most.
        let size: usize = key.iter().map(|part| 6 * part.len() + 8).sum();
        if some.len() >= AT_ONCE || bytes + size > LONGEST {
            all.push(Wanted::Keys(std::mem::take(&mut some)));
            bytes = 0;
        }
        bytes += size;
        some.push(key);
    }
    all.push(Wanted::Keys(some));
    all
}

/// `A..B`.
pub(super) fn range(text: &str) -> Result<Wanted, Failure> {
    let wrong = |what: &str| Failure::new(Code::Configuration, format!("--range: {what}"));
    let (from, to) = text.split_once("..").ok_or_else(|| wrong("write A..B, A.. or ..B"))?;
    if to.contains("..") {
        return Err(wrong("more than one `..` stands here; name the keys with --keys"));
    }
    if from.is_empty() && to.is_empty() {
        return Err(wrong("no bound stands here; leave the option out for the whole table"));
    }
    if text.contains('\0') || text.len() > 2 * LONGEST_KEY {
        return Err(wrong("this is no key"));
    }
    let bound = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Wanted::Range { from: bound(from), to: bound(to) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn told(bytes: &[u8], names: &[&str]) -> Vec<String> {
        let mistakes = parse(bytes, &columns(names)).expect_err("a mistake");
        mistakes.into_iter().map(|(line, what)| format!("{line}: {what}")).collect()
    }

    #[test]
    fn keys_are_lines_and_composite_ones_csv() {
        let keys = parse(b"\xef\xbb\xbfb\r\na, x\n\nb\n", &columns(&["id"])).expect("keys");
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), [vec!["a, x"], vec!["b"]]);
        let keys = parse(b"n,\"id\"\r\n1,\"a,\"\"b\"\"\"\r\n2,c\n", &columns(&["id", "n"])).expect("keys");
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), [vec!["a,\"b\"", "1"], vec!["c", "2"]]);
    }

    #[test]
    fn every_bad_line_is_told_with_its_kind_and_never_its_value() {
        let long = "0010857".repeat(200);
        let text = [b"ok\n\xff0010857\n0010857\0\n", long.as_bytes()].concat();
        let lines = told(&text, &["id"]);
        assert_eq!(
            lines,
            ["2: this is not UTF-8", "3: a zero byte stands here", "4: a value is longer than 1024 bytes"]
        );
        let lines = told(b"a,b\n0010857\n\"0010857,1\n00\"10857,1\n\"0010857\"x,1\n1,2,3\n", &["a", "b"]);
        let expected = [
            "2: 1 values stand here, and a key has 2",
            "3: a quote is not closed",
            "4: a quote stands inside a value",
            "5: a quote stands inside a value",
            "6: 3 values stand here, and a key has 2",
        ];
        assert_eq!(lines, expected);
        assert_eq!(
            told(b"a,c\n1,2\n", &["a", "b"]),
            ["1: the first line must name the columns of the key: a,b"]
        );
        assert_eq!(told(b"\n\n", &["id"]), ["1: no key stands here"]);
    }

    #[test]
    fn long_lists_become_several_requests() {
        let keys: BTreeSet<Vec<String>> = (0..25_000).map(|n| vec![format!("{n:05}")]).collect();
        let sizes = requests(keys).into_iter().map(|rows| match rows {
            Wanted::Keys(keys) => keys.len(),
            Wanted::Range { .. } => 0,
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [10_000, 10_000, 5_000]);
        let long: BTreeSet<Vec<String>> = (0..200).map(|n| vec![format!("{n:01024}")]).collect();
        assert!(requests(long).len() > 1);
    }

    #[test]
    fn a_range_has_one_bound_or_two() {
        let bounds = |text| match range(text) {
            Ok(Wanted::Range { from, to }) => Some((from, to)),
            _ => None,
        };
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(bounds("a..b"), Some((a.clone(), b.clone())));
        assert_eq!((bounds("a.."), bounds("..b")), (Some((a, None)), Some((None, b))));
        for wrong in ["", "a", "..", "a..b..c", "a..\0"] {
            assert_eq!(bounds(wrong), None, "{wrong}");
        }
    }
}
