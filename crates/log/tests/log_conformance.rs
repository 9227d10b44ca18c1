//! One suite of promises, run against both engines.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod conformance;
mod kafka;

mod embedded {
    //! The embedded engine: a file of its own per test.

    use std::sync::Arc;

    use crate::conformance::{Fixture, Trim};
    use lienthong_log::embedded::EmbeddedLog;

    async fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("log.db");
        let log = EmbeddedLog::open(&path).expect("log");
        let trim: Trim = Box::new(move |source, before| {
            let sql = rusqlite::Connection::open(&path).expect("file");
            let lane = "(select lane.id from lane join topic on topic.id = lane.topic where name = ?1 and partition = ?2)";
            for statement in [
                format!("delete from batch where base_offset + count <= ?3 and lane = {lane}"),
                format!("update lane set low = ?3 where id = {lane}"),
            ] {
                sql.execute(&statement, rusqlite::params![&*source.topic, source.partition, before])
                    .expect("trimmed");
            }
            Box::pin(std::future::ready(()))
        });
        Fixture::new(Arc::new(log), "embedded".into(), trim, Box::new(folder)).await
    }

    crate::conformance!(fixture);
}

mod on_kafka {
    //! Kafka: a prefix of its own per test on the shared broker.

    use std::sync::Arc;

    use crate::conformance::{Fixture, Trim};
    use crate::kafka::Namespace;
    use rdkafka::admin::AdminOptions;
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

    async fn fixture() -> Fixture {
        let namespace = Namespace::shared();
        let log = Arc::new(namespace.log());
        let (prefix, admin) = (namespace.prefix.clone(), Arc::new(namespace.admin()));
        let trim: Trim = Box::new(move |source, before| {
            let (name, admin) = (format!("{prefix}{}", source.topic), Arc::clone(&admin));
            Box::pin(async move {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&name, source.partition, Offset::Offset(before)).expect("list");
                admin.delete_records(&list, &AdminOptions::new()).await.expect("deleted");
            })
        });
        Fixture::new(log, "kafka".into(), trim, Box::new(namespace)).await
    }

    crate::conformance!(fixture);
}
