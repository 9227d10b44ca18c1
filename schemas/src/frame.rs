//! Confluent framing: one zero byte, the schema id in four bytes big endian, the datum.

/// Bytes before the datum.
pub const FRAME_BYTES: usize = 5;

/// A value that is not framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than a frame has.
    #[error("the value has {}, a frame has 5", crate::counted(*length, "byte"))]
    TooShort {
        /// Bytes there are.
        length: usize,
    },
    /// The first byte is not zero.
    #[error("the value starts with byte {found:#04x}, not with the magic byte 0x00")]
    Magic {
        /// The byte found.
        found: u8,
    },
}

/// Appends the frame; the datum follows.
pub fn write(schema_id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

/// Schema id and datum of a framed value.
///
/// # Errors
/// When the value is shorter than a frame or does not start with the magic byte.
pub fn read(bytes: &[u8]) -> Result<(u32, &[u8]), FrameError> {
    let Some((head, datum)) = bytes.split_first_chunk::<FRAME_BYTES>() else {
        return Err(FrameError::TooShort { length: bytes.len() });
    };
    let [magic, id @ ..] = *head;
    if magic != 0 {
        return Err(FrameError::Magic { found: magic });
    }
    Ok((u32::from_be_bytes(id), datum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back() {
        let mut out = Vec::new();
        write(70_000, &mut out);
        out.extend_from_slice(b"datum");
        assert_eq!(out[..FRAME_BYTES], [0, 0, 1, 0x11, 0x70]);
        assert_eq!(read(&out), Ok((70_000, &b"datum"[..])));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(read(&[0, 0, 0, 1]), Err(FrameError::TooShort { length: 4 }));
        assert_eq!(read(b"{\"a\":1}"), Err(FrameError::Magic { found: b'{' }));
    }
}
