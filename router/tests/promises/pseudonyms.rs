//! A pseudonym is one subscriber's own word for a person: nobody else's, and no other hash of the bus.

use lienthong_contract::keys::HashKey;
use lienthong_router::subscription::{ColumnMap, ColumnSource, Policy, SubscriptionKeys};
use rusqlite::types::ValueRef;

use crate::subscriber::Subscriber;
use crate::world::{Said, World};

const PIN: &str = "001326000001";

/// Delivers one birth to a subscriber that may see the number only as a token, in its key and in a column.
async fn delivered(subscriber: &str, purpose: &str) -> Subscriber {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    let token = ColumnSource { path: 0, map: ColumnMap::Pseudonym };
    vss.subscription.subscriber = subscriber.to_owned();
    vss.subscription.purpose = purpose.to_owned();
    vss.subscription.keys =
        SubscriptionKeys::derive(&HashKey::new([3; 32]), subscriber, purpose, "civil_status");
    vss.subscription.rules.truncate(1);
    vss.subscription.revocations.clear();
    let rule = &mut vss.subscription.rules[0];
    rule.key = vec![token];
    rule.groups[0].columns[0] = token;
    rule.on_revoked = Policy::Hard;
    world.say(&[Said::birth(1, PIN, "An")]).await;
    vss.once().await.expect("delivered");
    vss
}

fn token(subscriber: &Subscriber) -> String {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (key, column): (String, String) =
        subscriber.conn.query_row("select pin, name from insured", [], read).expect("one row");
    assert_eq!(key, column, "one person, one token");
    key
}

/// Everything that the bus keeps for itself in this database, as hexadecimal text.
fn own_tables(subscriber: &Subscriber) -> String {
    let mut text = String::new();
    for table in ["lienthong_offset", "lienthong_version", "lienthong_receipt", "lienthong_parked"] {
        let mut statement = subscriber.conn.prepare(&format!("select * from {table}")).expect("table");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("row") {
            for column in 0..columns {
                match row.get_ref(column).expect("value") {
                    ValueRef::Text(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                    ValueRef::Blob(bytes) => {
                        bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")))
                    }
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => {}
                }
                text.push('|');
            }
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subscribers_cannot_join_their_tokens_whatever_their_purpose() {
    let statistics = delivered("nso.statistics", "P13").await;
    let bank = delivered("bank.sample", "P11").await;
    let (of_statistics, of_bank) = (token(&statistics), token(&bank));
    assert_ne!(of_statistics, of_bank);
    let other_purpose = delivered("nso.statistics", "P11").await;
    assert_ne!(
        token(&other_purpose),
        of_statistics,
        "a key that is given away opens nothing of another purpose"
    );
    assert_ne!(token(&other_purpose), of_bank, "nobody has a key of a purpose");
    for subscriber in [&statistics, &bank] {
        assert!(!token(subscriber).contains(PIN) && !own_tables(subscriber).contains(PIN));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_hash_of_a_person_is_made_with_the_key_of_the_tokens() {
    let statistics = delivered("nso.statistics", "P13").await;
    let kept = own_tables(&statistics);
    assert!(kept.len() > 100, "ledger and receipt were looked at");
    assert!(!kept.contains(&token(&statistics)), "a receipt or a ledger entry would give the person away");
    let keys = |family| SubscriptionKeys::derive(&HashKey::new([3; 32]), "nso.statistics", "P13", family);
    let (births, residents) = (keys("civil_status"), keys("residence"));
    let hash = |key: &HashKey| key.hash(&[PIN.as_bytes()]);
    assert_eq!(hash(&births.pseudonym), hash(&residents.pseudonym), "a subscriber can join its own rows");
    for other in [&births.ledger, &births.receipt, &residents.receipt, &HashKey::new([3; 32]).derive("tail")]
    {
        assert_ne!(hash(&births.pseudonym), hash(other));
    }
}
