//! What both engines promise. Each engine's module makes a [`Fixture`] and lists the promises with [`conformance!`]; the names
//! of the tests are the promises.

pub mod groups;
pub mod sides;
pub mod starting;
pub mod writing;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lienthong_contract::participant::ParticipantId;
use lienthong_contract::sink::OffsetState;
use lienthong_log::control::{FENCE_NAME, FENCE_SCHEMA, HEARTBEAT_NAME, HEARTBEAT_SCHEMA};
use lienthong_log::marks::state_after;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, CheckpointBody, Log, LogBatch, Recovered, TopicPartition, TopicSpec, Writer};

/// A log of one's own, or names of one's own in a shared one.
pub struct Fixture {
    /// The log.
    pub log: Arc<dyn Log>,
    /// A word that no other test uses: part of every topic, group and participant.
    pub word: String,
    /// Takes everything before an offset away, as retention does.
    pub trim: Trim,
    /// Whatever must live as long as the test.
    #[allow(dead_code, reason = "held, never looked at")]
    pub keep: Box<dyn Any + Send + Sync>,
}

/// See [`Fixture::trim`].
pub type Trim = Box<dyn Fn(TopicPartition, i64) -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// Partitions of the live topic.
pub const LIVE: i32 = 3;
/// Partitions of the bulk topic.
pub const BULK: i32 = 2;

impl Fixture {
    /// Creates the topics of the test and registers the control records' schemas.
    pub async fn new(log: Arc<dyn Log>, word: String, trim: Trim, keep: Box<dyn Any + Send + Sync>) -> Self {
        let fixture = Self { log, word, trim, keep };
        let mut positions = fixture.spec("lt.positions", 1, true);
        positions.name = "lt.positions".into();
        let specs = [
            positions,
            fixture.spec(&fixture.live(), LIVE, false),
            fixture.spec(&fixture.bulk(), BULK, false),
            fixture.spec(&fixture.status(), 1, true),
            fixture.spec(&fixture.side(), 1, false),
        ];
        fixture.log.create_topics(&specs).await.expect("topics");
        for topic in [fixture.live(), fixture.bulk()] {
            for (name, schema) in [(FENCE_NAME, FENCE_SCHEMA), (HEARTBEAT_NAME, HEARTBEAT_SCHEMA)] {
                fixture.log.register_schema(&topic, name, schema).await.expect("control schema");
            }
        }
        fixture
    }

    pub fn spec(&self, name: &str, partitions: i32, compacted: bool) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions,
            replication: 1,
            min_insync_replicas: 1,
            retention: None,
            compacted,
        }
    }

    pub fn live(&self) -> String {
        format!("lt.{}.live", self.word)
    }

    pub fn bulk(&self) -> String {
        format!("lt.{}.bulk", self.word)
    }

    pub fn status(&self) -> String {
        format!("lt.status.{}", self.word)
    }

    pub fn side(&self) -> String {
        format!("lt.quarantine.{}", self.word)
    }

    pub fn participant(&self) -> ParticipantId {
        ParticipantId::new(&format!("moj.{}", self.word)).expect("participant")
    }

    pub fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.live().into(), partition }
    }

    /// A writer of the live and the bulk topic.
    pub async fn writer(&self) -> (Box<dyn Writer>, Recovered) {
        self.log.open_writer(&self.participant(), &[self.live(), self.bulk()]).await.expect("writer")
    }

    /// Everything of a partition, in bites of `bytes`, and the state afterwards.
    pub async fn read_all(
        &self,
        source: &TopicPartition,
        from: OffsetState,
        bytes: usize,
    ) -> (Vec<Seen>, OffsetState) {
        let mut state = from;
        let mut seen = Vec::new();
        loop {
            let batch = self.log.read(source, state, bytes).await.expect("read");
            seen.extend(Seen::all(&batch));
            if batch.next_offset == state.next_offset {
                return (seen, state);
            }
            state = state_after(&state, &batch);
        }
    }

    /// The ids of a partition in order.
    pub async fn ids(&self, source: &TopicPartition) -> Vec<String> {
        self.read_all(source, OffsetState::START, 1 << 20).await.0.into_iter().map(|seen| seen.id).collect()
    }
}

/// What a reader sees of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    pub epoch: i64,
    pub sequence: u64,
    pub id: String,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub time: i64,
}

impl Seen {
    pub fn all(batch: &LogBatch) -> Vec<Self> {
        let one = |entry| {
            let entry: &lienthong_log::record::Entry = entry;
            let record = batch.record(entry).expect("record");
            Self {
                offset: entry.offset,
                epoch: entry.epoch,
                sequence: entry.sequence,
                id: String::from_utf8(record.header("ce_id").unwrap_or_default().to_vec()).expect("id"),
                key: record.key.to_vec(),
                value: record.value.to_vec(),
                time: record.time,
            }
        };
        batch.entries.iter().map(one).collect()
    }
}

/// Events with these ids, all for one partition; their time is 1000 per place in the list.
pub fn events(target: &TopicPartition, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Batch {
    let mut batch = Batch::default();
    for (place, id) in ids.into_iter().enumerate() {
        push(&mut batch, target, id.as_ref(), 1000 * (place as i64 + 1), b"value");
    }
    batch
}

pub fn push(batch: &mut Batch, target: &TopicPartition, id: &str, time: i64, value: &[u8]) {
    let headers: [(&'static str, &[u8]); 4] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.as_bytes()),
        ("ce_type", b"test.happened"),
        ("ce_subject", id.as_bytes()),
    ];
    batch.push(target, &NewRecord { key: id.as_bytes(), headers: &headers, value, time }).expect("it fits");
}

pub fn names(prefix: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{prefix}{number}")).collect()
}

pub fn body(position: &str) -> CheckpointBody {
    CheckpointBody {
        position: position.to_owned(),
        lineage: lienthong_contract::position::Lineage { parts: vec![("system".into(), "1".into())] },
        lineage_epoch: 1,
        counter: 42,
    }
}

/// Sequences 1, 2, 3 and so on.
pub fn assert_dense(seen: &[Seen]) {
    let sequences: Vec<u64> = seen.iter().map(|seen| seen.sequence).collect();
    assert_eq!(sequences, (1..=seen.len() as u64).collect::<Vec<_>>());
}

/// Asks until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut asked: impl FnMut() -> F) {
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while !asked().await {
        assert!(std::time::Instant::now() < end, "did not come about: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Counts per key, for assertions that print well.
pub fn counted<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// Makes one test per promise: `conformance!(make)`, where `make` is an async function that gives a [`Fixture`].
#[macro_export]
macro_rules! conformance {
    ($make:path) => {
        $crate::conformance!(@each $make,
            writing: records_of_one_partition_keep_their_order,
            writing: sequences_are_dense_also_across_writers,
            writing: the_longest_record_is_taken,
            writing: a_second_writer_fences_the_first,
            writing: an_idle_writer_learns_that_it_is_fenced,
            writing: any_error_ends_a_writer_for_good,
            writing: a_new_writer_recovers_the_ids_behind_the_checkpoint,
            writing: what_a_checkpoint_covers_is_not_recovered_again,
            writing: a_checkpoint_comes_back_as_it_was_given,
            writing: a_fenced_writer_gets_no_leave_to_forget,
            writing: many_checkpoints_and_the_last_one_counts,
            writing: what_stands_behind_a_checkpoints_mark_is_collected,
            writing: a_writer_knows_its_partitions_and_refuses_others,
            writing: a_topic_can_join_a_writer_later,
            writing: participants_do_not_disturb_each_other,
            writing: a_missing_topic_is_named,
            writing: heartbeats_are_in_sequence_and_tell_freshness,
            writing: a_reader_resumes_anywhere_and_sees_the_same,
            writing: a_read_is_bounded_and_still_moves,
            writing: an_offset_behind_the_end_is_an_error,
            writing: watermarks_are_first_and_next_offset,
            writing: offset_at_is_the_first_record_of_that_time_or_later,
            starting: while_offset_0_is_there_a_late_reader_begins_there,
            starting: after_retention_a_late_reader_begins_where_every_record_counts,
            starting: a_late_reader_begins_before_the_place_that_it_asks_for,
            starting: a_partition_whose_records_are_all_gone_has_a_beginning,
            starting: a_side_topic_begins_anywhere,
            groups: a_member_gets_records_only_after_it_said_where_to_start,
            groups: a_waiting_member_gets_a_new_record_soon,
            groups: a_paused_partition_waits_and_loses_nothing,
            groups: members_share_the_partitions_evenly,
            groups: who_leaves_is_replaced_at_once,
            groups: who_is_silent_is_replaced_after_the_session,
            groups: groups_do_not_disturb_each_other,
            groups: told_offsets_are_kept_per_group,
            sides: the_newest_value_per_key_is_kept,
            sides: published_records_are_read_in_order_with_headers,
            sides: a_family_topic_takes_no_published_record,
            sides: topics_are_described_against_what_is_wanted,
            sides: a_topic_that_endangers_a_promise_is_not_used,
            sides: a_topic_that_keeps_more_than_its_contract_asks_is_used,
            sides: topics_are_never_changed_by_creating_them_again,
            sides: a_schema_has_one_id_and_its_text,
            sides: a_schema_is_never_registered_by_asking,
            sides: a_schema_that_cannot_read_what_was_written_before_is_refused,
            sides: an_unknown_schema_id_is_an_error,
        );
    };
    (@each $make:path, $($part:ident: $promise:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::conformance::$part::$promise($make().await).await;
            }
        )*
    };
}
