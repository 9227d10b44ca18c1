//! Promises about consumer groups.

use super::*;
use lienthong_log::{ConsumeOptions, Consumer, Delivered};
use std::collections::BTreeSet;
use std::time::Instant;

/// Sessions of the tests. Brokers refuse shorter ones than six seconds unless told otherwise.
const SESSION: Duration = Duration::from_secs(6);
const SHORT: Duration = Duration::from_millis(200);

/// A member that starts every partition at its beginning and counts what comes.
struct Reader {
    consumer: Box<dyn Consumer>,
    mine: BTreeSet<TopicPartition>,
    ids: Vec<String>,
}

impl Reader {
    async fn join(fixture: &Fixture, group: &str) -> Self {
        let options = ConsumeOptions {
            group: format!("{group}-{}", fixture.word),
            topics: vec![fixture.live()],
            fetch_bytes: 1 << 20,
            session: SESSION,
        };
        let consumer = fixture.log.consume(&options).await.expect("join");
        Self { consumer, mine: BTreeSet::new(), ids: Vec::new() }
    }

    /// Takes one thing, if something comes soon.
    async fn step(&mut self) {
        match self.consumer.next(SHORT).await.expect("next") {
            None => {}
            Some(Delivered::Assigned(source)) => {
                self.consumer.start(&source, OffsetState::START).await.expect("start");
                assert!(self.mine.insert(source), "assigned twice");
            }
            Some(Delivered::Revoked(source)) => assert!(self.mine.remove(&source), "revoked what it had not"),
            Some(Delivered::Records(batch)) => {
                assert!(self.mine.contains(&batch.source), "records of a partition that it has not");
                self.ids.extend(Seen::all(&batch).into_iter().map(|seen| seen.id));
            }
            Some(Delivered::Expired { .. }) => panic!("nothing expires here"),
        }
    }
}

/// Lets all members go on until it is so; gives the time that it took.
async fn settle(what: &str, readers: &mut [&mut Reader], so: impl Fn(&[&mut Reader]) -> bool) -> Duration {
    let start = Instant::now();
    while !so(readers) {
        assert!(start.elapsed() < Duration::from_secs(60), "did not come about: {what}");
        for reader in readers.iter_mut() {
            reader.step().await;
        }
    }
    start.elapsed()
}

fn all_held_once(readers: &[&mut Reader]) -> bool {
    let held = counted(readers.iter().flat_map(|reader| reader.mine.iter().cloned()));
    held.len() == LIVE as usize && held.values().all(|times| *times == 1)
}

pub async fn a_member_gets_records_only_after_it_said_where_to_start(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    writer.append(&events(&fixture.place(0), names("e", 0..6))).await.expect("append");
    let (whole, _) = fixture.read_all(&fixture.place(0), OffsetState::START, 1 << 20).await;
    let mut reader = Reader::join(&fixture, "g").await;
    let mut assigned = 0;
    while assigned < LIVE {
        match reader.consumer.next(SHORT).await.expect("next") {
            None => {}
            Some(Delivered::Assigned(_)) => assigned += 1,
            Some(other) => panic!("{other:?} before any start"),
        }
    }
    assert!(reader.consumer.next(SHORT).await.expect("next").is_none());
    let state = OffsetState {
        next_offset: whole[3].offset,
        epoch: whole[3].epoch,
        sequence: whole[2].sequence,
        fresh_through: 0,
    };
    reader.consumer.start(&fixture.place(0), state).await.expect("start");
    reader.mine.insert(fixture.place(0));
    settle("the rest", &mut [&mut reader], |all| all[0].ids.len() == 3).await;
    assert_eq!(reader.ids, ["e3", "e4", "e5"]);
}

pub async fn a_waiting_member_gets_a_new_record_soon(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    let mut reader = Reader::join(&fixture, "g").await;
    settle("assigned", &mut [&mut reader], all_held_once).await;
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        writer.append(&events(&fixture.place(round % LIVE), [format!("e{round}")])).await.expect("append");
        let expected = round as usize + 1;
        slowest = slowest.max(settle("it", &mut [&mut reader], |all| all[0].ids.len() == expected).await);
    }
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
    assert_eq!(reader.ids, names("e", 0..10));
}

pub async fn a_paused_partition_waits_and_loses_nothing(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    let mut reader = Reader::join(&fixture, "g").await;
    settle("assigned", &mut [&mut reader], all_held_once).await;
    reader.consumer.pause(&fixture.place(0)).await.expect("pause");
    writer.append(&events(&fixture.place(0), ["held back"])).await.expect("append");
    writer.append(&events(&fixture.place(1), ["free"])).await.expect("append");
    settle("the other one", &mut [&mut reader], |all| !all[0].ids.is_empty()).await;
    for _ in 0..3 {
        reader.step().await;
    }
    assert_eq!(reader.ids, ["free"]);
    reader.consumer.resume(&fixture.place(0)).await.expect("resume");
    settle("the rest", &mut [&mut reader], |all| all[0].ids.len() == 2).await;
    assert_eq!(reader.ids, ["free", "held back"]);
}

pub async fn members_share_the_partitions_evenly(fixture: Fixture) {
    let mut first = Reader::join(&fixture, "g").await;
    settle("the first has all", &mut [&mut first], all_held_once).await;
    let mut second = Reader::join(&fixture, "g").await;
    let mut third = Reader::join(&fixture, "g").await;
    let even = |all: &[&mut Reader]| all_held_once(all) && all.iter().all(|reader| reader.mine.len() == 1);
    settle("one each", &mut [&mut first, &mut second, &mut third], even).await;
}

pub async fn who_leaves_is_replaced_at_once(fixture: Fixture) {
    let mut first = Reader::join(&fixture, "g").await;
    let mut second = Reader::join(&fixture, "g").await;
    let both = |all: &[&mut Reader]| all_held_once(all) && all.iter().all(|reader| !reader.mine.is_empty());
    settle("both have some", &mut [&mut first, &mut second], both).await;
    second.consumer.leave().await.expect("leave");
    let took = settle("the first has all", &mut [&mut first], all_held_once).await;
    assert!(took < SESSION, "{took:?}");
}

pub async fn who_is_silent_is_replaced_after_the_session(fixture: Fixture) {
    let mut first = Reader::join(&fixture, "g").await;
    let mut second = Reader::join(&fixture, "g").await;
    let both = |all: &[&mut Reader]| all_held_once(all) && all.iter().all(|reader| !reader.mine.is_empty());
    settle("both have some", &mut [&mut first, &mut second], both).await;
    drop(second);
    settle("the first has all", &mut [&mut first], all_held_once).await;
}

pub async fn groups_do_not_disturb_each_other(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    writer.append(&events(&fixture.place(0), names("e", 0..3))).await.expect("append");
    let mut first = Reader::join(&fixture, "g").await;
    let mut second = Reader::join(&fixture, "h").await;
    let both = |all: &[&mut Reader]| {
        all.iter().all(|reader| reader.ids.len() == 3 && reader.mine.len() == LIVE as usize)
    };
    settle("both have all", &mut [&mut first, &mut second], both).await;
}

pub async fn told_offsets_are_kept_per_group(fixture: Fixture) {
    let mut reader = Reader::join(&fixture, "g").await;
    settle("assigned", &mut [&mut reader], all_held_once).await;
    reader.consumer.commit(&fixture.place(0), 11).await.expect("commit");
    reader.consumer.commit(&fixture.place(2), 22).await.expect("commit");
    reader.consumer.commit(&fixture.place(0), 12).await.expect("commit");
    for _ in 0..3 {
        reader.step().await;
    }
    let group = format!("g-{}", fixture.word);
    let expected = BTreeMap::from([(fixture.place(0), 12), (fixture.place(2), 22)]);
    until("told", || async {
        fixture.log.group_offsets(&group, &[fixture.live()]).await.expect("asked") == expected
    })
    .await;
    let other = fixture.log.group_offsets("nobody", &[fixture.live()]).await.expect("asked");
    assert!(other.is_empty());
}
