//! The shared broker: each test works under a prefix of its own.

use uuid::Uuid;

/// Bootstrap address of the shared broker.
#[must_use]
pub fn brokers() -> String {
    crate::env::kafka()
}

/// A prefix for every topic and group of one test, such as `t1a2b3c4d5e6.`; letters, digits and one dot at the end.
#[must_use]
pub fn namespace() -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("t{}.", &id[..11])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_namespace_is_unique_and_a_valid_start_of_a_topic_name() {
        let (one, two) = (super::namespace(), super::namespace());
        assert_ne!(one, two);
        assert!(one.starts_with('t') && one.ends_with('.'));
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
    }
}
