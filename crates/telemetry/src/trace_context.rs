//! W3C trace context, and which events are traced. Pure.

use std::fmt::Write as _;

/// A place in a trace: what a record's header `traceparent` says. Only sampled ones exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: u128,
    /// The span that is the parent of what follows.
    pub span: u64,
}

impl TraceContext {
    /// Reads a header. `None`: it is none, or the trace is not sampled.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let form = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // Later versions may have more parts; version 00 has four.
        if !form || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        let context =
            Self { trace: u128::from_str_radix(trace, 16).ok()?, span: u64::from_str_radix(span, 16).ok()? };
        (sampled && context.trace != 0 && context.span != 0).then_some(context)
    }

    /// The header's text.
    #[must_use]
    pub fn header(&self) -> String {
        let mut text = String::with_capacity(55);
        // Writing to a String does not fail.
        let _ = write!(text, "00-{:032x}-{:016x}-01", self.trace, self.span);
        text
    }
}

/// Where an event's trace begins. Its ids follow from the event's id alone, so that an event that is captured again after a crash
/// belongs to the same trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The trace.
    pub trace: u128,
    /// Span of the capture.
    pub capture: u64,
    /// Span of the publication, which the record names as parent.
    pub publish: u64,
}

impl Origin {
    /// From two keyed hashes of the event's id.
    #[must_use]
    pub fn new(trace: [u8; 16], spans: [u8; 16]) -> Self {
        let spans = u128::from_be_bytes(spans);
        // Zero is no id.
        Self {
            trace: u128::from_be_bytes(trace).max(1),
            capture: ((spans >> 64) as u64).max(1),
            publish: (spans as u64).max(1),
        }
    }

    /// What the record's header says.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        TraceContext { trace: self.trace, span: self.publish }
    }
}

/// Whether an event is traced: a function of its id, so that every process decides alike. `threshold` comes from [`threshold`].
pub(crate) fn sampled(id: &str, threshold: u64) -> bool {
    spread(id) <= threshold && threshold > 0
}

/// Of a share from 0 to 1.
pub(crate) fn threshold(share: f64) -> u64 {
    // The cast saturates.
    (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64
}

/// FNV-1a with the finaliser of MurmurHash3: ids that follow one another are spread over the whole range. Not secret, and need not be.
fn spread(id: &str) -> u64 {
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_what_is_none_is_refused() {
        let origin = Origin::new([7; 16], [9; 16]);
        let header = origin.context().header();
        assert_eq!(TraceContext::parse(header.as_bytes()), Some(origin.context()));
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for good in [
            format!("00-{trace}-{span}-01"),
            format!("00-{trace}-{span}-03"),
            format!("cc-{trace}-{span}-01-more"),
        ] {
            assert!(TraceContext::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            format!("00-{trace}-{span}-00"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}"),
            "+0-+".to_owned(),
            String::new(),
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn about_the_share_is_sampled_none_at_0_and_all_at_1() {
        let count =
            |share: f64| (0..10_000).filter(|n| sampled(&format!("1-o{n}-0"), threshold(share))).count();
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
        assert!((50..200).contains(&count(0.01)), "{}", count(0.01));
        assert!((4_700..5_300).contains(&count(0.5)), "{}", count(0.5));
    }
}
