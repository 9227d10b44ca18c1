//! The case that a row belongs to, for `ce_correlationid`. Pure.

use lienthong_schemas::Cell;

use crate::convert::Rule;

/// As much as a code of a case may be long, in bytes; a header is no place for texts.
const LONGEST: usize = 128;

/// What is in the column is no code: too long, or not in one printable line.
pub(crate) const NO_CODE: Rule = "not-a-correlation-code";

/// Writes the code of the case into `out`; nothing where the row names none.
///
/// # Errors
/// When the cell is no code.
pub(crate) fn write(cell: Cell<'_>, out: &mut String) -> Result<(), Rule> {
    out.clear();
    match cell {
        Cell::Null => Ok(()),
        Cell::I64(number) => {
            out.push_str(&number.to_string());
            Ok(())
        }
        Cell::Str(text) if text.len() <= LONGEST && !text.chars().any(char::is_control) => {
            out.push_str(text.trim());
            Ok(())
        }
        _ => Err(NO_CODE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cell: Cell<'_>) -> Result<String, Rule> {
        let mut out = "of another row".to_owned();
        write(cell, &mut out).map(|()| out)
    }

    #[test]
    fn a_code_is_one_short_line_and_no_case_is_nothing() {
        assert_eq!(written(Cell::Str(" H29.1-260907-0012 ")), Ok("H29.1-260907-0012".to_owned()));
        assert_eq!(written(Cell::I64(4711)), Ok("4711".to_owned()));
        assert_eq!(written(Cell::Null), Ok(String::new()));
        for cell in [Cell::Str(&"x".repeat(129)), Cell::Str("a\nb"), Cell::Str("a\0"), Cell::F64(1.5)] {
            assert_eq!(written(cell), Err(NO_CODE));
        }
    }
}
