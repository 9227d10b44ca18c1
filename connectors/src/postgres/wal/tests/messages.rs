//! Every message is read as it was written, and nothing else is.

use lienthong_testkit::seed;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::cursor::{Fault, Malformed};
use super::super::message::{Column, EPOCH_MICROS, Identity, Lsn, Message, Old, Relation};
use super::super::tuple::{Tuple, Value};

fn name(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn tuple(kind: u8, tuple: Tuple<'_>) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend((tuple.len() as u16).to_be_bytes());
    for value in tuple.values() {
        let (kind, bytes) = match value {
            Value::Null => (b'n', None),
            Value::Unchanged => (b'u', None),
            Value::Text(bytes) => (b't', Some(bytes)),
            Value::Binary(bytes) => (b'b', Some(bytes)),
        };
        out.push(kind);
        if let Some(bytes) = bytes {
            out.extend((bytes.len() as u32).to_be_bytes());
            out.extend(bytes);
        }
    }
    out
}

fn old(row: Old<'_>) -> Vec<u8> {
    match row {
        Old::Key(row) => tuple(b'K', row),
        Old::Full(row) => tuple(b'O', row),
    }
}

fn relation(relation: &Relation<'_>) -> Vec<u8> {
    let identity = match relation.identity {
        Identity::Default => b'd',
        Identity::Nothing => b'n',
        Identity::Full => b'f',
        Identity::Index => b'i',
    };
    let mut out = [&relation.oid.to_be_bytes()[..], &name(relation.namespace), &name(relation.name)].concat();
    out.push(identity);
    out.extend((relation.columns.len() as u16).to_be_bytes());
    for column in &relation.columns {
        out.push(flag(column.identity, 1));
        out.extend(name(column.name));
        out.extend(column.type_oid.to_be_bytes());
        out.extend(column.modifier.to_be_bytes());
    }
    out
}

/// The bytes of a message, by its fields alone.
fn encode(message: &Message<'_>) -> Vec<u8> {
    let time = |time: i64| (time - EPOCH_MICROS).to_be_bytes();
    let (tag, body) = match message {
        Message::Begin { commit, time: at, xid } => {
            (b'B', [&commit.0.to_be_bytes()[..], &time(*at), &xid.to_be_bytes()].concat())
        }
        Message::Commit { flags, commit, end, time: at } => {
            (b'C', [&[*flags][..], &commit.0.to_be_bytes(), &end.0.to_be_bytes(), &time(*at)].concat())
        }
        Message::Origin { commit, name: origin } => {
            (b'O', [&commit.0.to_be_bytes()[..], &name(origin)].concat())
        }
        Message::Relation(described) => (b'R', relation(described)),
        Message::Type { oid, namespace, name: of } => {
            (b'Y', [&oid.to_be_bytes()[..], &name(namespace), &name(of)].concat())
        }
        Message::Insert { relation, new } => {
            (b'I', [&relation.to_be_bytes()[..], &tuple(b'N', *new)].concat())
        }
        Message::Update { relation, old: before, new } => {
            let before = before.map(old).unwrap_or_default();
            (b'U', [&relation.to_be_bytes()[..], &before, &tuple(b'N', *new)].concat())
        }
        Message::Delete { relation, old: before } => {
            (b'D', [&relation.to_be_bytes()[..], &old(*before)].concat())
        }
        Message::Truncate { cascade, restart_identity, relations } => {
            let options = flag(*cascade, 1) | flag(*restart_identity, 2);
            let oids = relations.iter().flat_map(|oid| oid.to_be_bytes()).collect::<Vec<u8>>();
            (b'T', [&(relations.len() as u32).to_be_bytes()[..], &[options], &oids].concat())
        }
        Message::Emitted { transactional, lsn, prefix, content } => {
            let head = [&[flag(*transactional, 1)][..], &lsn.0.to_be_bytes(), &name(prefix)].concat();
            (b'M', [&head[..], &(content.len() as u32).to_be_bytes(), content].concat())
        }
    };
    [&[tag][..], &body].concat()
}

fn random_name(random: &mut StdRng) -> Vec<u8> {
    let names = ["", "a", "birth_registration", "Họ và tên", "\"", "\u{1f600}"];
    name(names[random.random_range(0..names.len())])
}

fn random_bytes(random: &mut StdRng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.random()).collect()
}

fn random_tuple(random: &mut StdRng) -> Vec<u8> {
    let count = random.random_range(0..6u16);
    let mut out = count.to_be_bytes().to_vec();
    for _ in 0..count {
        let kind = b"nutb"[random.random_range(0..4)];
        out.push(kind);
        if matches!(kind, b't' | b'b') {
            let length = random.random_range(0..20);
            out.extend((length as u32).to_be_bytes());
            out.extend(random_bytes(random, length));
        }
    }
    out
}

fn random_old(random: &mut StdRng) -> Vec<u8> {
    [&[b"KO"[random.random_range(0..2)]][..], &random_tuple(random)].concat()
}

/// The bytes of some message, field by field.
fn random_message(random: &mut StdRng) -> Vec<u8> {
    let tag = b"BCORYIUDTM"[random.random_range(0..10)];
    let mut out = vec![tag];
    let time = random.random_range(i64::MIN..i64::MAX - EPOCH_MICROS).to_be_bytes();
    match tag {
        b'B' => out.extend([&random_bytes(random, 8)[..], &time, &random_bytes(random, 4)].concat()),
        b'C' => out.extend([&random_bytes(random, 17)[..], &time].concat()),
        b'O' => out.extend([random_bytes(random, 8), random_name(random)].concat()),
        b'Y' => out.extend([random_bytes(random, 4), random_name(random), random_name(random)].concat()),
        b'R' => {
            out.extend([random_bytes(random, 4), random_name(random), random_name(random)].concat());
            out.push(b"dnfi"[random.random_range(0..4)]);
            let count = random.random_range(0..5u16);
            out.extend(count.to_be_bytes());
            for _ in 0..count {
                out.push(random.random_range(0..2));
                out.extend([random_name(random), random_bytes(random, 8)].concat());
            }
        }
        b'T' => {
            let count = random.random_range(0..4u32);
            out.extend(count.to_be_bytes());
            out.push(random.random_range(0..4));
            out.extend(random_bytes(random, count as usize * 4));
        }
        b'M' => {
            out.push(random.random_range(0..2));
            out.extend([random_bytes(random, 8), random_name(random)].concat());
            let length = random.random_range(0..30);
            out.extend((length as u32).to_be_bytes());
            out.extend(random_bytes(random, length));
        }
        _ => {
            out.extend(random_bytes(random, 4));
            if tag == b'D' || tag == b'U' && random.random() {
                out.extend(random_old(random));
            }
            if tag != b'D' {
                out.push(b'N');
                out.extend(random_tuple(random));
            }
        }
    }
    out
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut kinds = [0; 256];
    for _ in 0..4_000 {
        let bytes = random_message(&mut random);
        let message = Message::parse(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        assert_eq!(encode(&message), bytes);
        kinds[usize::from(bytes[0])] += 1;
    }
    assert_eq!(kinds.iter().filter(|count| **count > 100).count(), 10);
}

#[test]
fn a_message_that_is_cut_short_or_goes_on_is_refused_wherever_it_happens() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..1_000 {
        let mut bytes = random_message(&mut random);
        for cut in 0..bytes.len() {
            let error = Message::parse(&bytes[..cut]).err().expect("it is cut short");
            assert!(error.at <= cut, "{error}");
            assert!(matches!(error.fault, Fault::Short | Fault::Endless | Fault::Tag), "{error}");
        }
        let whole = bytes.len();
        bytes.push(random.random());
        assert_eq!(Message::parse(&bytes).err(), Some(Malformed { at: whole, fault: Fault::Trailing }));
    }
}

#[test]
fn fields_mean_what_the_protocol_says() {
    let begin = [&b"B"[..], &[0, 0, 0, 1, 0, 0, 0, 2], &[0; 8], &[0, 0, 3, 232]].concat();
    let expected = Message::Begin { commit: Lsn(0x1_0000_0002), time: 946_684_800_000_000, xid: 1_000 };
    assert!(Message::parse(&begin) == Ok(expected));

    let columns = [&[1][..], b"id\0", &[0, 0, 0, 23], &[255; 4], &[0], b"n\0", &[0, 0, 4, 19], &[0, 0, 0, 9]];
    let described = [&b"R"[..], &[0, 0, 64, 0], b"public\0person\0d", &[0, 2], &columns.concat()].concat();
    let column = |identity, name, type_oid, modifier| Column { identity, name, type_oid, modifier };
    let relation = Relation {
        oid: 16_384,
        namespace: "public",
        name: "person",
        identity: Identity::Default,
        columns: vec![column(true, "id", 23, -1), column(false, "n", 1_043, 9)],
    };
    assert!(Message::parse(&described) == Ok(Message::Relation(relation)));

    let rows =
        [&b"U"[..], &[0, 0, 64, 0], b"K", &[0, 2], b"t\0\0\0\x017n", b"N", &[0, 2], b"b\0\0\0\x01\xffu"];
    let rows = rows.concat();
    let Ok(Message::Update { relation: 16_384, old: Some(Old::Key(old)), new }) = Message::parse(&rows)
    else {
        panic!("an update with its old key");
    };
    assert!(old.values().eq([Value::Text(b"7"), Value::Null]));
    assert!(new.values().eq([Value::Binary(&[255]), Value::Unchanged]));

    let emitted = [&b"M"[..], &[1], &[0, 0, 0, 0, 0, 0, 0, 9], b"lienthong\0", &[0, 0, 0, 2], b"hi"].concat();
    let expected = Message::Emitted { transactional: true, lsn: Lsn(9), prefix: "lienthong", content: b"hi" };
    assert!(Message::parse(&emitted) == Ok(expected));
}

#[test]
fn what_is_wrong_is_named_with_its_byte_and_without_its_content() {
    let cases: [(&[u8], usize, Fault); 14] = [
        (b"", 0, Fault::Short),
        (b"?", 0, Fault::Tag),
        (b"O\0\0\0\0\0\0\0\0Secret", 9, Fault::Endless),
        (b"O\0\0\0\0\0\0\0\0\xff\0", 9, Fault::NotUtf8),
        (b"B\0\0\0\0\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 9, Fault::Time),
        (b"I\0\0\0\0O\0\0", 5, Fault::Tag),
        (b"D\0\0\0\0N\0\0", 5, Fault::Tag),
        (b"I\0\0\0\0N\xff\xff", 6, Fault::Negative),
        (b"I\0\0\0\0N\0\x01x", 8, Fault::Tag),
        (b"I\0\0\0\0N\0\x01t\xff\xff\xff\xff", 9, Fault::Negative),
        (b"I\0\0\0\0N\0\x01t\x7f\xff\xff\xffSecret", 13, Fault::Short),
        (b"R\0\0\0\0\0\0x\0\0", 7, Fault::Tag),
        (b"R\0\0\0\0\0\0d\x7f\xff", 10, Fault::Short),
        (b"T\x7f\xff\xff\xff\0\0\0\0\0", 5, Fault::Short),
    ];
    for (bytes, at, fault) in cases {
        let error = Message::parse(bytes).err().expect("it is malformed");
        assert_eq!(error, Malformed { at, fault });
        assert!(!error.to_string().contains("Secret"));
    }
}

#[test]
fn random_bytes_are_refused_or_read_but_never_a_panic() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..50_000 {
        let length = random.random_range(0..60);
        let mut bytes = random_bytes(&mut random, length);
        if let Some(first) = bytes.first_mut() {
            *first = b"BCORYIUDTM"[random.random_range(0..10)];
        }
        if let Ok(message) = Message::parse(&bytes)
            && !matches!(bytes[0], b'R' | b'T' | b'M')
        {
            assert_eq!(encode(&message), bytes);
        }
    }
}
