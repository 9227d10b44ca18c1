//! What of a foreign text a message may show: names may be shown, values may not. A configuration file or a command line is no row,
//! but a filter may hold a number of a person, and people write values where names belong.

/// Identification numbers have 9 or 12 digits, telephone numbers 10; a day or a serial number fits below.
const LONGEST_NUMBER: usize = 8;
const LONGEST_NAME: usize = 200;

/// Whether a text has the form of a name: ASCII, no blank, no quote, no number as long as a person's. Words with Vietnamese letters
/// are names of people more often than of tables.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\'' | b'"' | b'`');
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(fits) && !has_number(text)
}

/// Whether digits follow one another for longer than in a name. Groups of three or more with one separator between them are one
/// number, as people write telephone numbers.
fn has_number(text: &str) -> bool {
    let mut digits = 0;
    for group in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let number = group.len() >= 3 && group.bytes().all(|b| b.is_ascii_digit());
        digits = if number { digits + group.len() } else { 0 };
        if digits > LONGEST_NUMBER || longest_run(group) > LONGEST_NUMBER {
            return true;
        }
    }
    false
}

fn longest_run(text: &str) -> usize {
    text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or_default()
}

/// The text, when it has the form of a name; its kind and length otherwise.
#[must_use]
pub fn shown(text: &str) -> String {
    if is_name(text) {
        return text.to_owned();
    }
    let length = text.chars().count();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { format!("<{length} digits>") } else { format!("<{length} characters>") }
}

/// Whoever says more than this says it to itself.
const MOST_WORDS: usize = 60;

/// The reason that somebody else gives, such as a registry: words that have the form of a name, quotes and brackets around them or not,
/// stay; any other is told by its kind and length.
#[must_use]
pub fn shown_reason(text: &str) -> String {
    let word = |word: &str| {
        let bare: String = word.chars().filter(|c| !matches!(c, '\'' | '"' | '`')).collect();
        if bare.is_empty() || is_name(&bare) { word.to_owned() } else { shown(&bare) }
    };
    let mut words: Vec<String> = text.split_whitespace().take(MOST_WORDS).map(word).collect();
    if text.split_whitespace().nth(MOST_WORDS).is_some() {
        words.push("..".to_owned());
    }
    let reason = words.join(" ");
    // People write numbers in groups with blanks between them, too.
    if has_number(&reason) { shown(text) } else { reason }
}

/// A message whose parts in backticks have the form of names or of `key: value`, and that has no long number anywhere.
pub(crate) fn without_values(message: &str) -> String {
    let Some((before, quoted)) = message.split_once('`') else { return without_numbers(message) };
    let Some((quoted, after)) = quoted.split_once('`') else {
        // Half a pair: nobody knows what is quoted.
        return format!("{}`{}", without_numbers(before), shown(quoted));
    };
    let after = if after.matches('`').count() % 2 == 0 {
        without_values(after)
    } else {
        // One quoted text holds a backtick itself, so that all between the first and the last is in doubt.
        let end = after.rfind('`').map_or("", |at| &after[at + 1..]);
        return format!("{}`..`{}", without_numbers(before), without_numbers(end));
    };
    let pair = quoted.split_once(": ").is_some_and(|(key, value)| is_name(key) && is_name(value));
    let quoted = if pair { quoted.to_owned() } else { shown(quoted) };
    format!("{}`{quoted}`{after}", without_numbers(before))
}

/// A message without long numbers.
pub(crate) fn without_numbers(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[start..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest[start..].split_at(length);
        out.push_str(&rest[..start]);
        if length > LONGEST_NUMBER {
            out.push_str(&shown(number));
        } else {
            out.push_str(number);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_values_are_told_by_kind_and_length() {
        for name in [
            "child.pin",
            "civil_status.birth.registered",
            "vss.insurance/2026-01",
            "${file:secrets/kafka.password}",
            "array<string>",
            "2026-01-31",
            "127.0.0.1:9464",
            "_[_]",
        ] {
            assert_eq!(shown(name), name);
        }
        for (value, told) in [
            ("001085730194", "<12 digits>"),
            ("N001085730194", "<13 characters>"),
            ("001-085-730-194", "<15 characters>"),
            ("0977.318.264", "<12 characters>"),
            ("Nguyễn Văn A", "<12 characters>"),
            ("Nguyễn", "<6 characters>"),
            ("ho ten", "<6 characters>"),
            ("", "<0 characters>"),
        ] {
            assert_eq!(shown(value), told, "{value}");
        }
    }

    #[test]
    fn a_reason_keeps_its_words_and_loses_what_is_no_name() {
        for (reason, told) in [
            (
                "Incompatible artifact: lt.a.live [AVRO], at /fields/3",
                "Incompatible artifact: lt.a.live [AVRO], at /fields/3",
            ),
            ("{errorType:'MISSING', \"at\":\"`a.b`\"}", "{errorType:'MISSING', \"at\":\"`a.b`\"}"),
            ("seen Khuyểuh 001085730194", "seen <7 characters> <12 digits>"),
            ("seen 'Khuyểuh', \"c001085730194\"", "seen <8 characters> <13 characters>"),
            ("call 0977 318 264 now", "<21 characters>"),
            ("at 2026-11-27 10:12:31.902", "at 2026-11-27 10:12:31.902"),
            ("''", "''"),
            ("", ""),
        ] {
            assert_eq!(shown_reason(reason), told);
        }
    }

    #[test]
    fn a_message_keeps_its_words_and_loses_what_is_quoted_and_no_name() {
        for (message, told) in [
            ("unknown key `telemetri` in the file", "unknown key `telemetri` in the file"),
            ("unknown key `001085730194` in `x`", "unknown key `<12 digits>` in `x`"),
            ("`Nguyễn Văn A` stands twice in `key`", "`<12 characters>` stands twice in `key`"),
            ("first at 10:12, has 001085730194", "first at 10:12, has <12 digits>"),
            ("`Nguyễn` Văn A` stands twice in `key`", "`..`"),
            ("open `Nguyễn Văn A", "open `<12 characters>"),
            (
                "a family is `per: publisher`, not `per: Nguyễn`",
                "a family is `per: publisher`, not `<11 characters>`",
            ),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_values(message), told);
        }
    }
}
