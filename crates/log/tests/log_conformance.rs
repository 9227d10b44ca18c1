//! One suite of promises, run against both engines.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod conformance;
mod kafka;

mod embedded {
    //! The embedded engine: a file of its own per test.

    use std::sync::Arc;

    use crate::conformance::Fixture;
    use lienthong_log::embedded::EmbeddedLog;

    async fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("folder");
        let log = EmbeddedLog::open(folder.path().join("log.db")).expect("log");
        Fixture::new(Arc::new(log), "embedded".into(), Box::new(folder)).await
    }

    crate::conformance!(fixture);
}

mod on_kafka {
    //! Kafka: a prefix of its own per test on the shared broker.

    use std::sync::Arc;

    use crate::conformance::Fixture;
    use crate::kafka::Namespace;

    async fn fixture() -> Fixture {
        let namespace = Namespace::shared();
        let log = Arc::new(namespace.log());
        Fixture::new(log, "kafka".into(), Box::new(namespace)).await
    }

    crate::conformance!(fixture);
}
