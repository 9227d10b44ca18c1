//! The catalogue as AsyncAPI 3.0 with the Kafka bindings 0.5.0.

use serde_json::{Map, Value, json};

use crate::catalogue::{Catalogue, EventContract, Family, TopicSpec};

const BINDING: &str = "0.5.0";
const DAY_MS: u64 = 24 * 3600 * 1000;

pub(super) fn document(catalogue: &Catalogue) -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for family in catalogue.families() {
        let events: Vec<&EventContract> = catalogue.events_of(&family.name).collect();
        for publisher in family.publishers() {
            let stem = family.stem(publisher);
            for (lane, spec) in [("live", family.live), ("bulk", family.bulk)] {
                let name = format!("{stem}.{lane}");
                channels
                    .insert(name.clone(), channel(family, publisher, &format!("lt.{name}"), spec, &events));
                operations.insert(format!("publish-{name}"), operation(publisher, &name, &events));
            }
        }
    }
    let messages: Map<String, Value> =
        catalogue.events().map(|event| (event.name.clone(), message(event))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "lienthong: contracts of the bus",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Changes in the databases of ministries, as events. Key and partition: the subject. Values: Avro in Confluent framing; attributes: CloudEvents 1.0 in headers.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/avro",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {"headers": headers()}},
    })
}

fn channel(
    family: &Family,
    publisher: &str,
    topic: &str,
    spec: TopicSpec,
    events: &[&EventContract],
) -> Value {
    let messages: Map<String, Value> = events
        .iter()
        .map(|event| (event.name.clone(), json!({"$ref": format!("#/components/messages/{}", event.name)})))
        .collect();
    json!({
        "address": topic,
        "title": family.title,
        "description": format!("Only {publisher} writes here."),
        "messages": messages,
        "bindings": {"kafka": {
            "topic": topic,
            "partitions": spec.partitions,
            "replicas": spec.replication,
            "topicConfiguration": {
                "cleanup.policy": ["delete"],
                "retention.ms": u64::from(spec.retention_days) * DAY_MS,
            },
            "bindingVersion": BINDING,
        }},
    })
}

fn operation(publisher: &str, channel: &str, events: &[&EventContract]) -> Value {
    let messages: Vec<Value> = events
        .iter()
        .map(|event| json!({"$ref": format!("#/channels/{channel}/messages/{}", event.name)}))
        .collect();
    json!({
        "action": "send",
        "title": format!("{publisher} publishes"),
        "channel": {"$ref": format!("#/channels/{channel}")},
        "messages": messages,
    })
}

fn message(event: &EventContract) -> Value {
    // The text was parsed as JSON when the contract was; a contract that is none cannot stand in a catalogue.
    let schema: Value = serde_json::from_str(event.schema.text()).unwrap_or(Value::Null);
    let purposes: Map<String, Value> = event
        .purposes()
        .iter()
        .map(|(id, fields)| {
            let names = |paths: &std::collections::BTreeSet<crate::path::FieldPath>| -> Vec<String> {
                paths.iter().map(ToString::to_string).collect()
            };
            (id.clone(), json!({"fields": names(&fields.plain), "pseudonyms": names(&fields.pseudonym)}))
        })
        .collect();
    let subjects: Vec<Vec<String>> =
        event.subjects.iter().map(|rule| rule.fields().iter().map(ToString::to_string).collect()).collect();
    json!({
        "name": event.name,
        "title": event.title,
        "summary": event.schema.doc().unwrap_or_default(),
        "contentType": "application/avro",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {"schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": schema},
        "bindings": {"kafka": {
            "key": {"type": "string", "description": "The subject: a personal identification number, or a native key with its kind in front."},
            "schemaIdLocation": "payload",
            "schemaIdPayloadEncoding": "confluent",
            "schemaLookupStrategy": "TopicRecordNameStrategy",
            "bindingVersion": BINDING,
        }},
        "x-legal-source": event.legal_source,
        "x-subjects": subjects,
        "x-purposes": purposes,
    })
}

/// Kafka headers of every event.
fn headers() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_operation", "ce_sequence"],
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": text("The same change always has the same id; with ce_source it is the key for deduplication."),
            "ce_source": text("urn:lienthong:<participant>."),
            "ce_type": text("Event name."),
            "ce_subject": text("The subject, as the record's key."),
            "ce_time": text("Commit time at the source, RFC 3339, UTC, microseconds."),
            "ce_recordedtime": text("Time of capture, RFC 3339, UTC, microseconds."),
            "ce_operation": {
                "type": "string",
                "enum": ["insert", "update", "delete", "snapshot", "rekey"],
                "description": "What happened to the record. A delete carries the last known row; of a table whose publisher looks values up, the key alone.",
            },
            "ce_sequence": text("Order of the publisher's changes, sorts as text."),
            "ce_partitionsequence": text("Dense per participant, topic and partition: a hole means loss."),
            "ce_writerepoch": text("Epoch of the writer; a record of a lower one than the partition's highest fence does not count."),
            "ce_qualityflags": text("What the source checks found odd: rule@field, joined by commas. Absent when nothing was; never a value."),
            "ce_correlationid": text("Code of the case that the record belongs to; absent when it belongs to none."),
            "ce_transactionid": text("The transaction that the change was made in; the same for all of its events. Absent where the source does not know it."),
            "ce_transactionorder": text("Which of the transaction's events it is, from 1 on, over all topics."),
            "ce_transactioncount": text("How many events the transaction has; only its last event says it."),
            "ce_causationid": text("Id of the delete under the former key that an insert goes on from, where the source can tell; absent otherwise."),
            "lt_lookup": text("Fields whose values were looked up, joined by commas: they are of a later position than the event. Absent when none was."),
            "content-type": {"type": "string", "const": "application/avro"},
            "traceparent": text("W3C Trace Context of the change; absent when it is not traced."),
        },
    })
}
