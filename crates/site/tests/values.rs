//! A number, a name or a telephone number of a person in a file of the site: the mistake is told with its place, the value is not.

mod support;

use support::{Folder, MOJ, SITE, VSS, refused};

const PIN: &str = "001085730194";
const NAME: &str = "Khuyểuh Văn A";
const VALUES: [&str; 5] = [PIN, NAME, "Khuyểuh", "0977.318.264", "079 188 907 415"];

/// What may not be seen of any value.
const PARTS: [&str; 5] = [PIN, "Khuy", "0977", "318.264", "188 907"];

fn silent(folder: &Folder, what: &str) -> usize {
    let problems = folder.problems();
    for problem in &problems {
        for part in PARTS {
            assert!(!problem.contains(part), "{what}: {problem}");
        }
    }
    problems.len()
}

#[test]
fn a_broken_filter_is_told_by_place_and_kind_and_never_by_its_literals() {
    let filter = "event.child.birth_date >= '2020' && event.child.pin != null";
    for (broken, place, part) in [
        ("event.child.pin == 001085730194", "10:13", "text cannot be compared with an integer"),
        ("event.child.pin == '001085730194", "10:32", "no condition of CEL"),
        ("event.child.pin '001085730194'", "10:29", "does not belong here"),
        ("event.child.pin in ['001085730194' 'Khuyểuh']", "10:48", "does not belong here"),
        ("event.child.pin = '001085730194'", "10:29", "no condition of CEL"),
        ("event.child.pin == Khuyểuh", "10:36", "no condition of CEL"),
        ("event.child.N001085730194 == 'a'", "10:13", "`<19 characters>` is not a field"),
        ("N001085730194 == event.child.pin", "10:13", "fields are written"),
        ("event.child.pin.N001085730194('a')", "10:13", "is not supported"),
        ("event.child.pin == '001085730194' &&", "10:48", "ends too early"),
        ("event.child.pin == 99001085730194000000000", "10:32", "no condition of CEL"),
    ] {
        let folder = Folder::new();
        folder.replace(VSS, filter, broken);
        let problems = folder.problems();
        assert_eq!(problems.len(), 1, "{broken}: {problems:#?}");
        assert!(problems[0].starts_with(&format!("{VSS}:{place}: ")), "{broken}: {}", problems[0]);
        assert!(problems[0].contains(part), "{broken}: {}", problems[0]);
        silent(&folder, broken);
    }
}

#[test]
fn a_value_where_a_name_belongs_is_told_by_kind_and_length() {
    refused(SITE, "telemetry:", "001085730194:", "5:1", &["unknown key `<12 digits>`", "use one of"]);
    refused(SITE, "telemetry:", "Nguyễn Văn A:", "5:1", &["unknown key `<12 characters>`"]);
    refused(
        VSS,
        "child_pin: child.pin",
        "child_pin: '001085730194'",
        "15:20",
        &["`<12 digits>` is not a field of"],
    );
    refused(
        MOJ,
        "kind: postgres",
        "kind: '001085730194'",
        "4:9",
        &["unknown kind of database `<12 digits>`"],
    );
}

/// Ways to write a value, and to break YAML with it.
const FORMS: [&str; 14] =
    ["V", "'V'", "'V", "[V", "*V", "&V", "!V x", "{V: ", "V: V", "|V", "\"\\V\"", "%V", "`V", "V`V"];
/// Ways tried at each word; the next word goes on with the next ways.
const TRIED: usize = 2;

#[test]
fn no_value_anywhere_in_a_file_gets_into_a_message() {
    let is_word = |c: char| c.is_alphanumeric() || "_.-/".contains(c);
    let ways: Vec<String> =
        FORMS.iter().flat_map(|form| VALUES.map(|value| form.replace('V', value))).collect();
    let mut ways = ways.iter().cycle();
    let mut told = 0;
    for file in [SITE, MOJ, VSS] {
        let text = Folder::new().text(file);
        let mut at = 0;
        while let Some(start) = text[at..].find(is_word).map(|start| at + start) {
            at = text[start..].find(|c| !is_word(c)).map_or(text.len(), |end| start + end);
            for broken in ways.by_ref().take(TRIED) {
                let folder = Folder::new();
                folder.write(file, &format!("{}{broken}{}", &text[..start], &text[at..]));
                told += silent(&folder, &format!("{file}: {broken} for {}", &text[start..at]));
            }
        }
    }
    assert!(told > 250, "only {told} mistakes were told");
}
