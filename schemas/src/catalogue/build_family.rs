//! Families and retention classes from the file, with everything that is wrong in them.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::build::{Builder, at};
use super::file::{FamilyFile, Name, RetentionFile, TopicFile};
use super::{Family, Publishers, Retention, TopicSpec};

/// What other topics of the bus are called: `lt.status`, `lt.quarantine.<participant>`.
const RESERVED: [&str; 6] = ["audit", "positions", "quarantine", "receipts", "request", "status"];

impl Builder<'_> {
    pub(super) fn retention(
        &mut self,
        classes: &BTreeMap<String, Spanned<RetentionFile>>,
    ) -> BTreeMap<String, Retention> {
        let mut retention = BTreeMap::new();
        for (name, class) in classes {
            let RetentionFile { title, live_days, bulk_days } = &class.value;
            if *live_days == 0 || *bulk_days == 0 {
                self.problem(at(class), format!("`{name}` keeps records for no day"), "use 1 or more");
            }
            let class = Retention { title: title.clone(), live_days: *live_days, bulk_days: *bulk_days };
            retention.insert(name.clone(), class);
        }
        retention
    }

    pub(super) fn family(
        &mut self,
        name: &str,
        family: &Spanned<FamilyFile>,
        classes: &BTreeMap<String, Retention>,
    ) -> Family {
        let file = &family.value;
        let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(snake) {
            let message = format!("`{name}` cannot be part of a topic's name");
            self.problem(at(family), message, "use lower case letters, digits and _");
        }
        if RESERVED.contains(&name) {
            let message = format!("`{name}` is the name of the bus's own topics");
            self.problem(at(family), message, "give the family another name");
        }
        let class = classes.get(&file.retention.value);
        if class.is_none() {
            let known = classes.keys().map(String::as_str);
            self.unknown(&file.retention, "retention class", known, "add it under retention");
        }
        Family {
            name: name.to_owned(),
            title: file.title.clone(),
            publishers: self.publishers(family),
            retention: file.retention.value.clone(),
            live: self.topic(&file.topics.live, class.map_or(0, |class| class.live_days)),
            bulk: self.topic(&file.topics.bulk, class.map_or(0, |class| class.bulk_days)),
        }
    }

    fn publishers(&mut self, family: &Spanned<FamilyFile>) -> Publishers {
        let file = &family.value;
        if let Some(per) = file.per.as_ref().filter(|per| per.value != "publisher") {
            self.problem(at(per), "a family is `per: publisher` or has an owner", "write per: publisher");
        }
        match (&file.owner, &file.per, &file.publishers) {
            (Some(owner), None, None) => {
                self.participant(owner);
                Publishers::Owner(owner.value.clone())
            }
            (None, Some(_), Some(publishers)) => {
                for (index, publisher) in publishers.iter().enumerate() {
                    self.participant(publisher);
                    if publishers[..index].iter().any(|other| other.value == publisher.value) {
                        let message = format!("`{}` is listed twice", publisher.value);
                        self.problem(at(publisher), message, "remove one of them");
                    }
                }
                if publishers.is_empty() {
                    self.problem(at(family), "nobody may publish the family", "list its publishers");
                }
                Publishers::Each(publishers.iter().map(|publisher| publisher.value.clone()).collect())
            }
            _ => {
                let message = "the family needs either `owner`, or `per: publisher` with `publishers`";
                self.problem(
                    at(family),
                    message,
                    "name the participant that keeps the records, or all of them",
                );
                Publishers::Each(Vec::new())
            }
        }
    }

    /// A participant's id becomes part of topic names, so its form counts here.
    fn participant(&mut self, name: &Name) {
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !name.value.contains('.') || !name.value.split('.').all(part) {
            let message = format!("`{}` is not the id of a participant", name.value);
            let fix =
                "use lower-case letters, digits and dashes in dot-separated parts, such as moj.civil-status";
            self.problem(at(name), message, fix);
        }
    }

    fn topic(&mut self, topic: &Spanned<TopicFile>, retention_days: u32) -> TopicSpec {
        let file = &topic.value;
        if file.partitions == 0 || file.replication == 0 {
            self.problem(at(topic), "a topic needs partitions and copies", "use 1 or more");
        }
        if file.min_insync_replicas == 0 || file.min_insync_replicas > file.replication {
            let message = "min_insync_replicas must lie between 1 and replication";
            self.problem(at(topic), message, "use replication - 1, at least 1");
        }
        TopicSpec {
            partitions: file.partitions,
            replication: file.replication,
            min_insync_replicas: file.min_insync_replicas,
            retention_days,
        }
    }
}
