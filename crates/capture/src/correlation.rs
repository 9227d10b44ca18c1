//! The case that a row belongs to, for `ce_correlationid`. Pure.

use lienthong_schemas::{Cell, format_uuid};

/// As much as a code of a case may be long, in bytes; a header is no place for texts.
const LONGEST: usize = 128;

/// How a column that holds no code is flagged: no field of the contract is wrong, so the event goes out, without its case.
pub(crate) const NO_CODE: &str = "not-a-correlation-code@correlation";

/// Writes the code of the case into `out`, nothing where the row names none; whether the cell can be one.
pub(crate) fn write(cell: Cell<'_>, out: &mut String) -> bool {
    out.clear();
    match cell {
        Cell::Null => {}
        Cell::I64(number) => out.push_str(&number.to_string()),
        Cell::Uuid(uuid) => out.extend(format_uuid(&uuid).map(char::from)),
        Cell::Str(text) => {
            let code = text.trim();
            if code.len() > LONGEST || code.chars().any(unseen) {
                return false;
            }
            out.push_str(code);
        }
        _ => return false,
    }
    true
}

/// What breaks a line or turns its direction.
fn unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cell: Cell<'_>) -> Option<String> {
        let mut out = "of another row".to_owned();
        write(cell, &mut out).then_some(out)
    }

    #[test]
    fn a_code_is_one_short_line_and_no_case_is_nothing() {
        for text in
            ["H29.1-260907-0012", " H29.1-260907-0012 \n", &format!("H29.1-260907-0012{}", " ".repeat(200))]
        {
            assert_eq!(written(Cell::Str(text)).as_deref(), Some("H29.1-260907-0012"));
        }
        assert_eq!(written(Cell::I64(4711)).as_deref(), Some("4711"));
        let uuid = written(Cell::Uuid([0xab; 16]));
        assert_eq!(uuid.as_deref(), Some("abababab-abab-abab-abab-abababababab"));
        assert_eq!(written(Cell::Null).as_deref(), Some(""));
        for text in [&"x".repeat(129), "a\nb", "a\0b", "a\u{2028}b", "a\u{202e}b"] {
            assert_eq!(written(Cell::Str(text)), None);
        }
        assert_eq!(written(Cell::F64(1.5)), None);
    }
}
