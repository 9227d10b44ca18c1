//! Who takes part: an id that survives a ministry's reorganisation.

use std::fmt;

/// `moj.civil-status`: lower-case letters, digits and dashes in dot-separated parts, at least two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(String);

impl ParticipantId {
    /// Checks the form.
    ///
    /// # Errors
    /// Says what the form is when `text` has another one.
    pub fn new(text: &str) -> Result<Self, BadParticipantId> {
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() <= 100 && text.contains('.') && text.split('.').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadParticipantId)
        }
    }

    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `ce_source` of this participant's events.
    #[must_use]
    pub fn urn(&self) -> String {
        format!("urn:lienthong:{}", self.0)
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no participant id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a participant id is lower-case parts joined by dots, such as moj.civil-status")]
pub struct BadParticipantId;
