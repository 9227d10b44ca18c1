//! Decode plans, one per (writer's schema, rule); the schema's text comes from the log once.

use std::collections::HashMap;
use std::sync::Arc;

use lienthong_log::{Log, LogError};
use lienthong_schemas::{DecodePlan, Schema, shown_reason};

use crate::error::EventFault;
use crate::head::RuleIndex;
use crate::subscription::Subscription;

/// A worker's plans.
#[derive(Default)]
pub(crate) struct Plans {
    schemas: HashMap<u32, Arc<Schema>>,
    plans: HashMap<(u32, RuleIndex), Arc<DecodePlan>>,
}

/// Why a plan cannot be had.
pub(crate) enum PlanFault {
    /// The log failed.
    Log(LogError),
    /// The event can never be read.
    Event(EventFault),
}

impl Plans {
    /// The plan, when it is there.
    #[must_use]
    pub(crate) fn get(&self, schema_id: u32, rule: RuleIndex) -> Option<&DecodePlan> {
        self.plans.get(&(schema_id, rule)).map(Arc::as_ref)
    }

    /// Makes sure that the plan is there.
    pub(crate) async fn load(
        &mut self,
        log: &dyn Log,
        subscription: &Subscription,
        schema_id: u32,
        rule: RuleIndex,
    ) -> Result<(), PlanFault> {
        if self.plans.contains_key(&(schema_id, rule)) {
            return Ok(());
        }
        let schema = match self.schemas.get(&schema_id) {
            Some(schema) => Arc::clone(schema),
            None => {
                let text = log.schema(schema_id).await.map_err(PlanFault::Log)?;
                let schema =
                    Schema::parse_str(&text).map_err(|_| fault(schema_id, "is not an Avro schema"))?;
                Arc::clone(self.schemas.entry(schema_id).or_insert(Arc::new(schema)))
            }
        };
        let (reader, paths) = match subscription.rules.get(rule) {
            Some(rule) => (&rule.reader, &rule.paths),
            None => {
                let revocation = &subscription.revocations[rule - subscription.rules.len()];
                (&revocation.reader, &revocation.paths)
            }
        };
        let plan = DecodePlan::compile(&schema, reader.schema(), paths).map_err(|error| {
            let why = shown_reason(&error.to_string());
            fault(schema_id, &format!("cannot be read by the site's contract: {why}"))
        })?;
        self.plans.insert((schema_id, rule), Arc::new(plan));
        Ok(())
    }
}

fn fault(schema_id: u32, what: &str) -> PlanFault {
    PlanFault::Event(EventFault::new(
        format!("its schema {schema_id} {what}"),
        "bring the site's contracts up to date with the publisher's, then start again",
    ))
}
