//! Two families write one table: each has a writer of its own, so that their versions are never compared.

use anyhow::Result;

use crate::kind::Kind;
use crate::oracle::STREET;
use crate::subscriber::{Deed, Subscriber, Write, insured, part, person, version};
use crate::target_types::TargetTypes;

/// What the other family says.
fn street(pin: &str, number: u32, name: &str) -> Write {
    insured(pin, Deed::Upsert(vec![part(STREET, number, &[name])]))
}

/// The same, never creating the row.
fn street_if_there(pin: &str, number: u32, name: &str) -> Write {
    insured(pin, Deed::Update(vec![part(STREET, number, &[name])]))
}

fn delete(pin: &str, number: u32) -> Write {
    insured(pin, Deed::Delete { version: version(number), revokes: None })
}

fn lives(pin: &str, name: &str, street: Option<&str>) -> Vec<Option<String>> {
    [Some(pin), Some(name), Some("1"), Some(name), street].map(|text| text.map(str::to_owned)).into()
}

/// Whichever of the two writers claimed later.
const CLAIMS: [(u32, u32); 2] = [(100, 200), (200, 100)];

pub(crate) async fn a_delete_counts_whatever_the_other_family_wrote<K: Kind + TargetTypes>() -> Result<()> {
    for (births, residence) in CLAIMS {
        let mut subscriber = Subscriber::<K>::new().await?;
        let mut worker = subscriber.worker();
        worker.deliver(&[person("1", births + 1, "An"), person("2", births + 2, "Bình")]).await?;
        worker.deliver(&[street_if_there("1", residence + 1, "Lê Lợi")]).await?;
        let applied = worker.deliver(&[delete("1", births + 3), delete("2", births + 4)]).await?;
        assert_eq!((applied.changed, subscriber.count("insured").await?), (2, 0));
    }
    Ok(())
}

pub(crate) async fn the_other_family_writes_a_row_that_came_to_life_again<K: Kind + TargetTypes>()
-> Result<()> {
    for (births, residence) in CLAIMS {
        let mut subscriber = Subscriber::<K>::new().await?;
        let mut worker = subscriber.worker();
        worker.deliver(&[person("1", births + 1, "An")]).await?;
        worker.deliver(&[street_if_there("1", residence + 5, "Lê Lợi")]).await?;
        worker.deliver(&[delete("1", births + 2)]).await?;
        worker.deliver(&[person("1", births + 3, "An")]).await?;
        let late = worker.deliver(&[street_if_there("1", residence + 4, "cũ")]).await?;
        assert_eq!(late.older, 1, "older than what went with the row");
        assert_eq!(subscriber.housed().await?, [lives("1", "An", None)]);
        worker.deliver(&[street_if_there("1", residence + 6, "Hai Bà Trưng")]).await?;
        assert_eq!(subscriber.housed().await?, [lives("1", "An", Some("Hai Bà Trưng"))]);
    }
    Ok(())
}

pub(crate) async fn the_other_family_creates_a_row_only_before_its_first_delete<K: Kind + TargetTypes>()
-> Result<()> {
    for (births, residence) in CLAIMS {
        let mut subscriber = Subscriber::<K>::new().await?;
        let mut worker = subscriber.worker();
        worker.deliver(&[street("1", residence + 1, "Lê Lợi")]).await?;
        assert_eq!(subscriber.count("insured").await?, 1, "nothing is known of the row yet");
        worker.deliver(&[person("1", births + 1, "An")]).await?;
        assert_eq!(subscriber.housed().await?, [lives("1", "An", Some("Lê Lợi"))]);
        worker.deliver(&[delete("1", births + 2)]).await?;
        worker.deliver(&[street("1", residence + 2, "Hai Bà Trưng")]).await?;
        assert_eq!(subscriber.count("insured").await?, 0, "in either order of the last two");
        worker.deliver(&[person("1", births + 3, "An")]).await?;
        worker.deliver(&[street("1", residence + 3, "Lý Thường Kiệt")]).await?;
        assert_eq!(subscriber.housed().await?, [lives("1", "An", Some("Lý Thường Kiệt"))]);
    }
    Ok(())
}
