//! UUIDs as the 36 characters of RFC 4122.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Reads `8-4-4-4-12` hex digits, any case; nothing else.
pub(crate) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut uuid = [0; 16];
    let mut at = 0;
    for (index, byte) in uuid.iter_mut().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
        at += 2;
    }
    Some(uuid)
}

/// The 36 characters, lower case.
#[must_use]
pub fn format(uuid: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    text
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_in_lower_case() {
        let text = b"1481531D-CCC9-46d9-a56f-5b67459c0537";
        let uuid = parse(text).unwrap();
        assert_eq!(format(&uuid).as_slice(), text.to_ascii_lowercase());
        for wrong in ["", "1481531dccc946d9a56f5b67459c0537", "1481531d-ccc9-46d9-a56f-5b67459c053g"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
