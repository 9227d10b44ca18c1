//! Finds texts in what a program has put out, in whatever encoding they got there.

use std::collections::{BTreeSet, HashMap};

use unicode_normalization::UnicodeNormalization as _;

/// Bytes by which needles are looked up.
const HEAD: usize = 4;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Needles that begin with the same bytes. Numbers are many and of few lengths: each length is one look.
#[derive(Default)]
struct Needles {
    lengths: BTreeSet<usize>,
    named: HashMap<Vec<u8>, Needle>,
}

struct Needle {
    /// Text and encoding.
    name: String,
    /// Whether it counts only where no digit or point stands before it and no digit behind it.
    alone: bool,
}

/// What is searched for, every text in every encoding.
pub(crate) struct Searcher {
    /// By their first bytes.
    needles: HashMap<[u8; HEAD], Needles>,
    /// Whether a needle begins with these two bytes: most bytes are passed over by one look.
    begins: Vec<bool>,
}

impl Searcher {
    /// Numbers that are `alone` are so short that they count as they are only where they are no part of a longer one; in every other
    /// encoding they are long enough.
    pub(crate) fn new<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        alone: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut searcher = Self { needles: HashMap::new(), begins: vec![false; 1 << 16] };
        for text in texts {
            searcher.add(text, false);
        }
        for text in alone {
            searcher.add(text, true);
        }
        searcher
    }

    fn add(&mut self, text: &str, alone: bool) {
        for (encoding, bytes) in encodings(text) {
            let Some(head) = bytes.first_chunk::<HEAD>() else { continue };
            self.begins[two(head)] = true;
            let alone = alone && bytes == text.as_bytes();
            let needles = self.needles.entry(*head).or_default();
            needles.lengths.insert(bytes.len());
            let needle = Needle { name: format!("{text} ({encoding})"), alone };
            // The first name of the same bytes stays: they are the plain ones.
            needles.named.entry(bytes).or_insert(needle);
        }
    }

    /// What stands in these bytes, and how.
    pub(crate) fn find(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut at = 0;
        while at + HEAD <= bytes.len() {
            let rest = &bytes[at..];
            at += 1;
            if !self.begins[two(rest)] {
                continue;
            }
            let Some(needles) = rest.first_chunk::<HEAD>().and_then(|head| self.needles.get(head)) else {
                continue;
            };
            for length in &needles.lengths {
                let Some(needle) = rest.get(..*length).and_then(|piece| needles.named.get(piece)) else {
                    continue;
                };
                let before = at.checked_sub(2).and_then(|at| bytes.get(at));
                let goes_on = before.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
                    || rest.get(*length).is_some_and(u8::is_ascii_digit);
                if !needle.alone || !goes_on {
                    found.insert(needle.name.as_str());
                }
            }
        }
        found
    }
}

/// The first two bytes as a number.
fn two(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// The text as it may stand somewhere: both normal forms and both cases, each as bytes and as every escape and code of bytes.
fn encodings(text: &str) -> Vec<(String, Vec<u8>)> {
    let forms: BTreeSet<String> = [text.to_owned(), text.to_lowercase(), text.to_uppercase()]
        .iter()
        .flat_map(|text| [text.nfc().collect::<String>(), text.nfd().collect()])
        .collect();
    forms.iter().flat_map(|form| of_form(form)).collect()
}

fn of_form(form: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = form.as_bytes();
    let mut all = vec![
        ("UTF-8".to_owned(), form.to_owned()),
        ("Debug".to_owned(), format!("{form:?}").trim_matches('"').to_owned()),
        ("\\u{..}".to_owned(), form.escape_default().to_string()),
        ("every char as \\u{..}".to_owned(), form.escape_unicode().to_string()),
        ("JSON".to_owned(), json(form, false)),
        ("JSON, capitals".to_owned(), json(form, true)),
        ("\\xNN".to_owned(), bytes.escape_ascii().to_string()),
        ("\\xNN, capitals".to_owned(), escaped_capitals(bytes)),
        ("percent".to_owned(), percent(bytes)),
        ("hex".to_owned(), bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        ("hex, capitals".to_owned(), bytes.iter().map(|byte| format!("{byte:02X}")).collect()),
        ("list of bytes".to_owned(), format!("{bytes:?}").trim_matches(['[', ']']).to_owned()),
        ("list without blanks".to_owned(), format!("{bytes:?}").trim_matches(['[', ']']).replace(' ', "")),
    ];
    for before in 0..3 {
        let code = base64(bytes, before);
        all.push((
            format!("base64 of the web, {before} bytes before"),
            code.replace('+', "-").replace('/', "_"),
        ));
        all.push((format!("base64, {before} bytes before"), code));
    }
    all.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

fn json(text: &str, capitals: bool) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
            _ if capitals => out.push_str(&format!("\\u{unit:04X}")),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

fn escaped_capitals(bytes: &[u8]) -> String {
    percent_with(bytes, "\\x")
}

fn percent(bytes: &[u8]) -> String {
    percent_with(bytes, "%")
}

fn percent_with(bytes: &[u8], mark: &str) -> String {
    let mut out = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("{mark}{byte:02X}"));
        }
    }
    out
}

/// The characters that depend on these bytes alone, wherever they stand among others.
fn base64(bytes: &[u8], before: usize) -> String {
    let (first, last) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
    let bit = |at: usize| {
        let (byte, bit) = (at / 8, at % 8);
        byte.checked_sub(before).map_or(0, |byte| (bytes[byte] >> (7 - bit)) & 1)
    };
    let code = |at: usize| (0..6).fold(0, |code: u8, step| (code << 1) | bit(at * 6 + step));
    (first..last).map(|at| char::from(BASE64[usize::from(code(at))])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written with other code than the searcher's own, where there is other code.
    #[test]
    fn a_planted_text_is_found_in_every_encoding() {
        let (name, pin) = ("Thỵuên", "001085730194");
        let searcher = Searcher::new([name, pin], []);
        let nfd: String = name.nfd().collect();
        let planted = [
            format!("x {name} y"),
            format!("x {nfd} y"),
            name.to_uppercase(),
            format!("{nfd:?}"),
            nfd.escape_default().to_string(),
            r#"{"name":"Th\u1ef5u\u00ean"}"#.to_owned(),
            r#"{"name":"Th\u1EF5u\u00EAn"}"#.to_owned(),
            r"Th\xe1\xbb\xb5u\xc3\xaan".to_owned(),
            r"Th\xE1\xBB\xB5u\xC3\xAAn".to_owned(),
            "Th%E1%BB%B5u%C3%AAn".to_owned(),
            "5468e1bbb575c3aa6e".to_owned(),
            "5468E1BBB575C3AA6E".to_owned(),
            format!("{:?}", format!("a{name}").as_bytes()),
            // `printf 'Thỵuên' | base64`, then with one and with two letters before and one behind.
            "VGjhu7V1w6pu".to_owned(),
            "eFRo4bu1dcOqbnk=".to_owned(),
            "eHhUaOG7tXXDqm55".to_owned(),
            format!("pin={pin}"),
            "MDAxMDg1NzMwMTk0".to_owned(),
            "303031303835373330313934".to_owned(),
            format!("{:?}", pin.as_bytes()),
        ];
        for text in planted {
            assert!(!searcher.find(text.as_bytes()).is_empty(), "{text} is not found");
        }
        assert!(searcher.find("Thủy 001085730195 VGjhu7V1w6pV".as_bytes()).is_empty());
    }

    #[test]
    fn a_short_number_is_found_where_it_is_no_part_of_a_longer_one() {
        let card = "7900000123";
        let searcher = Searcher::new([], [card]);
        // In base64 and as hex it is no number.
        for text in
            ["7900000123", "card=7900000123.", "x7900000123y", "NzkwMDAwMDEyMw==", "37393030303030313233"]
        {
            assert!(!searcher.find(text.as_bytes()).is_empty(), "{text} is not found");
        }
        for text in ["0.7900000123", "17900000123", "79000001230", "7900000124"] {
            assert!(searcher.find(text.as_bytes()).is_empty(), "{text} is another number");
        }
    }
}
