//! A family: who publishes it, and the topics that follow from that.

/// The event types about one kind of record, in one order per subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name, as in topic names.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// Who may publish it.
    pub publishers: Publishers,
    /// Name of the class that says how long its records are kept.
    pub retention: String,
    /// The topics of changes as they happen.
    pub live: TopicSpec,
    /// The topics of first loads, digitisation and recodes.
    pub bulk: TopicSpec,
}

/// Who may publish a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publishers {
    /// One participant keeps all records of this kind.
    Owner(String),
    /// `per: publisher`: each of them keeps records of its own and writes topics of its own.
    Each(Vec<String>),
}

/// How a topic is created. Its partition count never changes afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u16,
    /// Copies that must have a record before it counts.
    pub min_insync_replicas: u16,
    /// Days that a record is kept, by the family's retention class.
    pub retention_days: u32,
}

/// How long the records of a family are kept in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Why so long.
    pub title: String,
    /// Days in the live topics.
    pub live_days: u32,
    /// Days in the bulk topics.
    pub bulk_days: u32,
}

impl Family {
    /// The participants that may publish it.
    #[must_use]
    pub fn publishers(&self) -> &[String] {
        match &self.publishers {
            Publishers::Owner(owner) => std::slice::from_ref(owner),
            Publishers::Each(publishers) => publishers,
        }
    }

    /// Whether each publisher has topics of its own.
    #[must_use]
    pub fn is_per_publisher(&self) -> bool {
        matches!(self.publishers, Publishers::Each(_))
    }

    /// Whether a participant may publish its events.
    #[must_use]
    pub fn may_publish(&self, participant: &str) -> bool {
        self.publishers().iter().any(|publisher| publisher == participant)
    }

    /// What stands between `lt.` and the lane in the names of one publisher's topics: `civil_status`, or
    /// `benefit.vss.insurance` for a family `per: publisher`.
    #[must_use]
    pub fn stem(&self, publisher: &str) -> String {
        match &self.publishers {
            Publishers::Owner(_) => self.name.clone(),
            Publishers::Each(_) => format!("{}.{publisher}", self.name),
        }
    }

    /// The stems of all publishers, in the catalogue's order.
    pub fn stems(&self) -> impl Iterator<Item = String> {
        self.publishers().iter().map(|publisher| self.stem(publisher))
    }

    /// `lt.<stem>.live` of every publisher.
    pub fn live_topics(&self) -> impl Iterator<Item = String> {
        self.stems().map(|stem| format!("lt.{stem}.live"))
    }

    /// `lt.<stem>.bulk` of every publisher.
    pub fn bulk_topics(&self) -> impl Iterator<Item = String> {
        self.stems().map(|stem| format!("lt.{stem}.bulk"))
    }

    /// Every topic with how it is created: what a subscription to the family reads.
    pub fn topics(&self) -> impl Iterator<Item = (String, TopicSpec)> {
        let live = self.live_topics().map(|name| (name, self.live));
        live.chain(self.bulk_topics().map(|name| (name, self.bulk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(publishers: Publishers) -> Family {
        let spec = TopicSpec { partitions: 2, replication: 1, min_insync_replicas: 1, retention_days: 9 };
        let (title, retention) = ("Benefits".to_owned(), "short".to_owned());
        Family { name: "benefit".to_owned(), title, publishers, retention, live: spec, bulk: spec }
    }

    fn names(family: &Family) -> Vec<String> {
        family.topics().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_family_with_one_owner_has_two_topics() {
        let family = family(Publishers::Owner("vss.insurance".to_owned()));
        assert_eq!(names(&family), ["lt.benefit.live", "lt.benefit.bulk"]);
        assert!(family.may_publish("vss.insurance") && !family.may_publish("moh.social-protection"));
    }

    #[test]
    fn a_family_per_publisher_has_two_topics_for_each() {
        let each = ["vss.insurance", "moh.social-protection"].map(str::to_owned).to_vec();
        let family = family(Publishers::Each(each));
        let expected = [
            "lt.benefit.vss.insurance.live",
            "lt.benefit.moh.social-protection.live",
            "lt.benefit.vss.insurance.bulk",
            "lt.benefit.moh.social-protection.bulk",
        ];
        assert_eq!(names(&family), expected);
        assert_eq!(family.stem("vss.insurance"), "benefit.vss.insurance");
        assert!(family.may_publish("moh.social-protection") && !family.may_publish("mof.tax"));
    }
}
