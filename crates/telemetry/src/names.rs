//! Every metric: name, kind, unit, labels, meaning. Names that dashboards know already are theirs (Kafka's lag exporters, OpenTelemetry's
//! messaging conventions in Prometheus' spelling); the rest begin with `lienthong_`.

use crate::histogram::{EVENTS, SECONDS};

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever rises; begins at 0 with the process.
    Counter,
    /// Rises and falls; NaN when it is unknown.
    Gauge,
    /// Histogram of seconds.
    Seconds,
    /// Histogram of numbers of events.
    Events,
}

impl Kind {
    pub(crate) fn bounds(self) -> &'static [f64] {
        match self {
            Self::Events => EVENTS,
            Self::Counter | Self::Gauge | Self::Seconds => SECONDS,
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// As Prometheus shows it; a histogram's gets `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// Of what.
    pub unit: &'static str,
    /// Labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

impl Metric {
    /// The name without what the text format adds by itself.
    pub(crate) fn stem(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Seconds | Kind::Events => self.name,
        }
    }
}

macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal in $unit:literal by [$($label:literal),*], $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $id: Metric =
                Metric { name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], meaning: $meaning };
        )*
        /// Every metric, in the order in which they are told.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD: Gauge "lienthong_build_info" in "-" by ["version"],
        "Always 1; the label tells the version of the program.";
    READY: Gauge "lienthong_ready" in "0 or 1" by [],
        "Whether /readyz says that this process makes progress.";

    CONNECTOR_STATE: Gauge "lienthong_connector_state" in "0 or 1" by ["participant", "state"],
        "1 for the state that the connector is in: starting, catching-up, live, waiting or stopped.";
    CONNECTOR_EVENTS: Counter "lienthong_connector_events_total" in "events" by ["participant"],
        "Events that are durable in the log.";
    CONNECTOR_BATCH_EVENTS: Events "lienthong_connector_batch_events" in "events" by ["participant"],
        "Size of appended batches.";
    CONNECTOR_QUARANTINED: Counter "lienthong_connector_quarantined_rows_total" in "rows" by ["participant"],
        "Rows that broke their contract and were set aside, sealed.";
    CONNECTOR_SET_ASIDE: Gauge "lienthong_connector_set_aside_changes" in "changes" by ["participant"],
        "Changes of tables that are set aside since their columns have changed: they wait, sealed, for `lienthong quarantine retry PARTICIPANT`.";
    CONNECTOR_SET_ASIDE_TABLES: Gauge "lienthong_connector_set_aside_tables" in "tables" by ["participant"],
        "Tables that are set aside.";
    CONNECTOR_SET_ASIDE_SINCE: Gauge "lienthong_connector_set_aside_since_timestamp_seconds" in "seconds since 1970" by ["participant"],
        "Commit time of the oldest change that is set aside; NaN where none is.";
    CONNECTOR_RETAINED: Gauge "lienthong_connector_retained_changes" in "changes" by ["participant"],
        "Changes that the source keeps for the bus, as it said after the last checkpoint.";
    CONNECTOR_RETAINED_LOG: Gauge "lienthong_connector_retained_log_bytes" in "bytes" by ["participant"],
        "What the server keeps of its write-ahead log for the connector; NaN where there is no such log and before the first look.";
    CONNECTOR_RETAINED_LOG_ROOM: Gauge "lienthong_connector_retained_log_room_bytes" in "bytes" by ["participant"],
        "What may still be written before the nearer of max_retained_wal and the server's max_slot_wal_keep_size is reached; NaN without either.";
    CONNECTOR_RETAINED_LOG_GROWTH: Gauge "lienthong_connector_retained_log_growth_bytes_per_second" in "bytes per second" by ["participant"],
        "How fast what the server keeps has grown over the last five minutes; below 0 when it shrinks, NaN until it is known.";
    CONNECTOR_RETAINED_LOG_DAYS: Gauge "lienthong_connector_retained_log_days_to_loss" in "days" by ["participant"],
        "When the nearer bound will be reached at this growth; NaN without growth, without a bound and until the growth is known.";
    CONNECTOR_FIRST_LOAD: Gauge "lienthong_connector_first_load_rows" in "rows" by ["participant"],
        "Rows of a first load that are in the log, or have come as changes meanwhile; NaN where no first load is under way, and for an outbox.";
    CONNECTOR_FIRST_LOAD_EXPECTED: Gauge "lienthong_connector_first_load_expected_rows" in "rows" by ["participant"],
        "Rows of a first load in all, by the guess of the database's planner; NaN where it has none, and where no first load is under way.";
    CONNECTOR_FIRST_LOAD_RATE: Gauge "lienthong_connector_first_load_rows_per_second" in "rows per second" by ["participant"],
        "How fast a first load goes since this process began with it; NaN until it is known, and where none is under way.";
    CONNECTOR_FIRST_LOAD_REMAINING: Gauge "lienthong_connector_first_load_remaining_seconds" in "seconds" by ["participant"],
        "When a first load will be done, if the guess is right and it goes on as fast; NaN where it cannot be told.";
    CONNECTOR_FRESH: Gauge "lienthong_connector_fresh_through_timestamp_seconds" in "seconds since 1970" by ["participant"],
        "Everything committed at the source up to this time is in the log.";
    CONNECTOR_LAST_EVENT: Gauge "lienthong_connector_last_event_timestamp_seconds" in "seconds since 1970" by ["participant"],
        "Commit time of the newest event that is in the log.";
    CAPTURE: Seconds "lienthong_capture_seconds" in "seconds" by ["participant"],
        "Part of the way of an event: from its commit at the source until the connector asked for it.";
    PUBLISH: Seconds "lienthong_publish_seconds" in "seconds" by ["participant"],
        "Part of the way of an event: from the connector asking for it until it was durable in the log.";

    SUBSCRIPTION_STATE: Gauge "lienthong_subscription_state" in "0 or 1" by ["subscriber", "family", "state"],
        "1 for the state that the subscription is in: starting, catching-up, live, waiting, halted or stopped.";
    SUBSCRIPTION_EVENTS: Counter "lienthong_subscription_events_total" in "events" by ["subscriber", "family"],
        "Events read in committed transactions.";
    SUBSCRIPTION_DELIVERED: Counter "lienthong_subscription_delivered_events_total" in "events" by ["subscriber", "family"],
        "Of the events read, those that the agreement's filter let pass.";
    SUBSCRIPTION_ROWS: Counter "lienthong_subscription_rows_total" in "rows" by ["subscriber", "family", "outcome"],
        "Rows written to: changed; unchanged (found as they should be, or nothing to update); older (refused by the version guard).";
    SUBSCRIPTION_BATCH_EVENTS: Events "lienthong_subscription_batch_events" in "events" by ["subscriber", "family"],
        "Events per transaction; transactions that only move the offset count as 0.";
    SUBSCRIPTION_IGNORED: Counter "lienthong_subscription_ignored_records_total" in "records" by ["subscriber", "family"],
        "Records in the log of writers that had been fenced, or not in sequence: ignored.";
    SUBSCRIPTION_FRESH: Gauge "lienthong_subscription_fresh_through_timestamp_seconds" in "seconds since 1970" by ["subscriber", "family"],
        "Everything committed at the source up to this time has reached the subscriber, over the partitions that this process holds.";
    SUBSCRIPTION_LAST_EVENT: Gauge "lienthong_subscription_last_event_timestamp_seconds" in "seconds since 1970" by ["subscriber", "family"],
        "Commit time at the source of the newest event delivered.";
    COMMIT_TO_APPLY: Seconds "lienthong_commit_to_apply_seconds" in "seconds" by ["subscriber", "family"],
        "The whole way of an event: from its commit at the source to the commit in the subscriber's database.";
    QUEUE: Seconds "lienthong_queue_seconds" in "seconds" by ["subscriber", "family"],
        "Part of the way of an event: from the connector asking for it until its transaction began here; publishing is part of it.";
    APPLY: Seconds "lienthong_apply_seconds" in "seconds" by ["subscriber", "family"],
        "Part of the way of an event: the transaction that delivered it, filter and projection included.";

    PARTITION_LATEST: Gauge "kafka_partition_latest_offset" in "offset" by ["cluster_name", "topic", "partition"],
        "Offset that the next record of the partition gets; NaN when the log did not say.";
    GROUP_OFFSET: Gauge "kafka_consumergroup_group_offset" in "offset" by ["cluster_name", "group", "topic", "partition"],
        "Next offset to deliver, as the subscriber's database has it; NaN before the first.";
    GROUP_LAG: Gauge "kafka_consumergroup_group_lag" in "records" by ["cluster_name", "group", "topic", "partition"],
        "Records of the partition that are not delivered yet, control records included; NaN when one of both offsets is unknown.";
    GROUP_LAG_SECONDS: Gauge "kafka_consumergroup_group_lag_seconds" in "seconds" by ["cluster_name", "group", "topic", "partition"],
        "Age of the time up to which the partition is delivered in full; 0 when nothing is behind, NaN when it is unknown.";
    GROUP_MAX_LAG: Gauge "kafka_consumergroup_group_max_lag" in "records" by ["cluster_name", "group"],
        "Largest lag of a partition that this process holds; NaN when one is unknown.";
    GROUP_MAX_LAG_SECONDS: Gauge "kafka_consumergroup_group_max_lag_seconds" in "seconds" by ["cluster_name", "group"],
        "Largest lag in seconds of a partition that this process holds; NaN when one is unknown.";
    GROUP_SUM_LAG: Gauge "kafka_consumergroup_group_sum_lag" in "records" by ["cluster_name", "group"],
        "Sum of the lags of the partitions that this process holds; NaN when one is unknown.";

    OPERATION_DURATION: Seconds "messaging_client_operation_duration_seconds" in "seconds"
        by ["messaging_system", "messaging_operation_name"],
        "Duration of an append of a batch until everything was durable (send).";
    SENT: Counter "messaging_client_sent_messages_total" in "records"
        by ["messaging_system", "messaging_operation_name", "messaging_destination_name"],
        "Events sent to a topic and durable.";
    CONSUMED: Counter "messaging_client_consumed_messages_total" in "records"
        by ["messaging_system", "messaging_operation_name", "messaging_destination_name", "messaging_consumer_group_name"],
        "Events handed out by the log to a group; one that is read again counts again.";
    PROCESS_DURATION: Seconds "messaging_process_duration_seconds" in "seconds"
        by ["messaging_system", "messaging_operation_name", "messaging_destination_name", "messaging_consumer_group_name"],
        "Duration of a transaction in the subscriber's database, from reading its events to its commit.";

    TRACE_SPANS: Counter "lienthong_trace_spans_total" in "spans" by ["outcome"],
        "Spans given to the collector: exported, or lost because it did not take them.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_kind_and_unit_as_prometheus_wants_it() {
        let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let Metric { name, kind, unit, meaning, .. } = metric;
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(
                *unit == "seconds",
                name.ends_with("_seconds") && !name.contains("timestamp"),
                "{name}"
            );
            assert!(*kind != Kind::Seconds || *unit == "seconds", "{name}");
            assert!(meaning.ends_with('.') && !meaning.contains(['\n', '\\', '|']), "{name}");
        }
    }
}
