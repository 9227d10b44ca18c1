//! Two families write one table of a subscriber: births create the rows, residence writes a column of its own.

use anyhow::Result;
use lienthong_testkit::database::Database;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::residents;
use crate::site::{Engine, Site};

const BIRTHS: &str = r#"participant: moj.civil-status
organisation: Ministry of Justice
source: {kind: sqlite, url: "URL", capture: {mode: outbox, table: lienthong_outbox}}
publishes:
  - event: civil_status.birth.registered
    from: {table: birth, key: [registration_no]}
    fields:
      registration_no: registration_no
      office_code: {value: "00004"}
      registered_on: {value: "2026-01-01"}
      child.pin: pin
      child.given_name: name
      child.sex: {value: unknown}
      child.birth_date: {value: "2026"}
"#;

const AGREEMENT: &str = r#"agreement: mps.population/2026-01
subscriber: mps.population
purpose: P1
legal_basis: "Decree 154/2024/ND-CP"
valid: {from: 2026-01-01, until: 2099-12-31}
target: {kind: sqlite, url: "URL"}
delivers:
  - event: civil_status.birth.registered
    fields: [child.pin, child.given_name]
    where: "event.child.pin != null"
    into: {table: person, key: [pin], columns: {pin: child.pin, name: child.given_name}}
    on_revoked: hard
  - event: residence.permanent.registered
    fields: [pin, address.street]
    effect: {update: {if_missing: skip}}
    into: {table: person, key: [pin], columns: {pin: pin, street: address.street}}
    on_deleted: hard
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_removes_its_rows_whichever_of_two_publishers_claimed_later() -> Result<()> {
    let mut random = StdRng::seed_from_u64(1);
    for later_claims in [0, 6] {
        let folder = tempfile::tempdir()?;
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let [births, residence, target] = ["births.db", "residence.db", "population.db"].map(url);
        let mut owner = Database::open(&births).await?;
        let made = "create table birth (registration_no text primary key, pin text, name text not null)";
        owner.run(&[made.to_owned()]).await?;
        let mut subscriber = Database::open(&target).await?;
        let made = "create table person (pin text primary key, name text, street text)";
        subscriber.run(&[made.to_owned()]).await?;
        let mut residents = residents::Residents::create(&residence).await?;
        let ministry = residents::MINISTRY.replace("KIND", "sqlite").replace("URL", &residence);
        let files = [
            ("ministries/moj.civil-status.yaml", BIRTHS.replace("URL", &births)),
            ("ministries/mps.residence.yaml", ministry),
            ("agreements/mps.population.yaml", AGREEMENT.replace("URL", &target)),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let site = Site::of(Engine::Embedded, "moj.civil-status", &files)?;
        site.prepare()?;
        site.succeed(&["connect", residents::PARTICIPANT, "--prepare"])?;

        residents.insert(3).await?;
        let rows = residents.rows().await?;
        let pins: Vec<String> = rows.into_iter().filter_map(|row| row[1].clone()).collect();
        let birth = |(at, pin): (usize, &String)| {
            format!("insert into birth values ('2026/00004/{at}', '{pin}', 'name {at}')")
        };
        owner.run(&pins.iter().enumerate().map(birth).collect::<Vec<_>>()).await?;
        site.succeed(&["connect", "moj.civil-status", "--once"])?;
        site.succeed(&["route", "--once"])?;
        site.succeed(&["connect", residents::PARTICIPANT, "--once"])?;
        // A connector claims anew with every start.
        for _ in 0..later_claims {
            residents.change_many(&mut random, 20).await?;
            site.succeed(&["connect", residents::PARTICIPANT, "--once"])?;
        }
        site.succeed(&["route", "--once"])?;
        let held = subscriber.rows("select pin from person where street is not null").await?;
        assert_eq!(held.len(), 3);
        owner.run(&["delete from birth where registration_no < '2026/00004/2'".to_owned()]).await?;
        site.succeed(&["connect", "moj.civil-status", "--once"])?;
        site.succeed(&["route", "--once"])?;
        let left = subscriber.rows("select name from person").await?;
        assert_eq!(left, [[Some("name 2".to_owned())]], "{later_claims}");
    }
    Ok(())
}
