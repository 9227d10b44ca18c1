//! Finds texts in what a program has put out, in whatever encoding they got there.

use std::collections::{BTreeSet, HashMap};

use unicode_normalization::UnicodeNormalization as _;

/// Bytes by which needles are looked up.
const HEAD: usize = 4;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What is searched for, every text in every encoding.
pub(crate) struct Searcher {
    /// By their first bytes: bytes, text and encoding.
    needles: HashMap<[u8; HEAD], Vec<(Vec<u8>, String)>>,
}

impl Searcher {
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut needles: HashMap<_, Vec<_>> = HashMap::new();
        for text in texts {
            for (encoding, bytes) in encodings(text) {
                let Some(head) = bytes.first_chunk::<HEAD>() else { continue };
                needles.entry(*head).or_default().push((bytes, format!("{text} ({encoding})")));
            }
        }
        Self { needles }
    }

    /// What stands in these bytes, and how.
    pub(crate) fn find(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, head) in bytes.windows(HEAD).enumerate() {
            let Some(needles) = head.first_chunk::<HEAD>().and_then(|head| self.needles.get(head)) else {
                continue;
            };
            found.extend(
                needles
                    .iter()
                    .filter(|(needle, _)| bytes[at..].starts_with(needle))
                    .map(|(_, name)| name.as_str()),
            );
        }
        found
    }
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
        let searcher = Searcher::new([name, pin]);
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
}
