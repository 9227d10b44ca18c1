//! Just enough of Rust's grammar for the rules: words that are no code, and the size of traits and enums.

/// A trait or an enum: its name, its line, and how many required methods or variants it has.
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) size: usize,
}

/// The source with comments, texts and characters blanked; lines and offsets stay.
pub(crate) fn without_words(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match word_end(bytes, at) {
            Some(end) => end.min(bytes.len()),
            None => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

/// Where the comment, text or character that starts here ends.
fn word_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()))
        }
        b'/' if rest.starts_with(b"/*") => Some(at + block_comment(rest)),
        b'"' => Some(at + quoted(rest, b'"')),
        b'r' if at == 0
            || !is_name(bytes[at - 1])
            || (b"bc".contains(&bytes[at - 1]) && (at < 2 || !is_name(bytes[at - 2]))) =>
        {
            raw_text(rest).map(|length| at + length)
        }
        // A lifetime has no closing quote after its first character.
        b'\'' if rest.get(1) == Some(&b'\\') => Some(at + quoted(rest, b'\'')),
        b'\'' => {
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]))
                .ok()
                .and_then(|text| text.chars().next())
                .map_or(1, char::len_utf8);
            (rest.get(1 + width) == Some(&b'\'')).then_some(at + width + 2)
        }
        _ => None,
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of a text in quotes, with its escapes.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a `r#".."#`, when it is one.
fn raw_text(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let start = hashes + 2;
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let length = rest[start..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(rest.len(), |length| start + length + closing.len()))
}

/// The length of a comment that may hold others.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The code with every item under `#[cfg(test)]` blanked. Takes what `without_words` gives.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let end = item_end(&out, start + "#[cfg(test)]".len());
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        // Characters outside ASCII shrink to one blank: pad, so that offsets stay.
        let missing = end - start - blank.len();
        out.replace_range(start..end, &format!("{blank}{}", " ".repeat(missing)));
    }
    out
}

/// The end of the item that starts here: its `;`, or the brace that closes its body.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start + at + 1;
                }
            }
            ';' if depth == 0 => return start + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The traits with how many methods each requires.
pub(crate) fn traits(code: &str) -> Vec<Item<'_>> {
    items(code, "trait").into_iter().map(|found| found.sized(required_methods)).collect()
}

/// The enums that are errors, by name or by derive, with how many variants each has.
pub(crate) fn error_enums(code: &str) -> Vec<Item<'_>> {
    let found = items(code, "enum").into_iter();
    found
        .filter(|found| found.name.ends_with("Error") || found.before.contains("Error"))
        .map(|found| found.sized(variants))
        .collect()
}

/// An item found by its keyword.
struct Found<'a> {
    name: &'a str,
    line: usize,
    /// Its attributes and visibility.
    before: &'a str,
    body: &'a str,
}

impl<'a> Found<'a> {
    fn sized(self, size: fn(&str) -> usize) -> Item<'a> {
        Item { name: self.name, line: self.line, size: size(self.body) }
    }
}

fn items<'a>(code: &'a str, keyword: &str) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(keyword) {
        let rest = &code[at + keyword.len()..];
        if code[..at].ends_with(|c: char| is_word(c)) || !rest.starts_with(' ') {
            continue;
        }
        let name = rest.trim_start().split(|c: char| !is_word(c)).next().unwrap_or_default();
        let Some(open) = rest.find('{').map(|open| at + keyword.len() + open) else { continue };
        let end = item_end(code, open);
        if name.is_empty() || end <= open + 1 {
            continue;
        }
        let before = &code[code[..at].rfind([';', '{', '}']).map_or(0, |previous| previous + 1)..at];
        found.push(Found { name, line: super::line_of(code, at), before, body: &code[open + 1..end - 1] });
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The `fn`s of a body that end without one of their own.
fn required_methods(body: &str) -> usize {
    let (mut depth, mut methods, mut pending, mut previous) = (0_usize, 0, false, ' ');
    for (at, c) in body.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' => {
                pending = pending && depth > 0;
                depth += 1;
            }
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => {
                methods += usize::from(pending);
                pending = false;
            }
            'f' if depth == 0 && !is_word(previous) && body[at..].starts_with("fn ") => pending = true,
            _ => {}
        }
        previous = c;
    }
    methods
}

/// The pieces of a body between its outermost commas.
fn variants(body: &str) -> usize {
    let (mut depth, mut count, mut filled) = (0_usize, 0, false);
    for c in body.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                count += usize::from(filled);
                filled = false;
            }
            c if depth == 0 && is_word(c) => filled = true,
            _ => {}
        }
    }
    count + usize::from(filled)
}

#[test]
fn words_are_no_code() {
    let source =
        "a(\"x.unwrap()\\\"\"); // dbg!\n/* todo! /* */ */ b(r#\"dbg!\"#, 'đ', '\\'', &'a str); c.unwrap()";
    let code = without_words(source);
    assert_eq!(code.len(), source.len());
    assert!(!code.contains("dbg!") && !code.contains("todo!"), "{code}");
    assert_eq!(code.matches(".unwrap()").count(), 1, "{code}");
    assert!(code.contains("&'a str") && code.contains("c.unwrap()"), "{code}");
}

#[test]
fn only_items_under_cfg_test_are_test_code() {
    let code = "#[cfg(test)]\nmod tests;\nfn a() { b.unwrap() }\n#[cfg(test)]\nmod more { fn c() { d.unwrap() } }\nfn e() { f.unwrap() }";
    let rest = without_tests(code);
    assert_eq!(rest.len(), code.len());
    assert_eq!(rest.matches(".unwrap()").count(), 2, "{rest}");
}

#[test]
fn required_methods_and_variants_are_counted() {
    let code = "trait A: B { type T; fn a(&self) -> [u8; 3]; async fn b(&self); fn c(&self) { x(); } }\n\
                #[derive(Debug, Error)]\npub enum Bad { #[error()] One(u8, u8), Two { a: u8, b: u8 }, Three, }\nenum Fine { A }";
    let found: Vec<(&str, usize, usize)> =
        traits(code).iter().map(|item| (item.name, item.line, item.size)).collect();
    assert_eq!(found, [("A", 1, 2)]);
    let found: Vec<(&str, usize, usize)> =
        error_enums(code).iter().map(|item| (item.name, item.line, item.size)).collect();
    assert_eq!(found, [("Bad", 3, 3)]);
}
