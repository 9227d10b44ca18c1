//! What is on record in `lt.audit`: who did what and when, each entry an object that begins with the same names.

use lienthong_log::Log;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::status_record::now;

/// Puts an action on record; returns when that is durable. `what` is an object. Who did it is what the operating system calls the user.
pub(super) async fn write(log: &dyn Log, action: &str, what: Value) -> Result<(), Failure> {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let mut entry = json!({"action": action, "user": user, "at": now()});
    if let (Some(entry), Value::Object(what)) = (entry.as_object_mut(), what) {
        entry.extend(what);
    }
    let command = action.split(' ').next().unwrap_or(action);
    log.publish("lt.audit", command.as_bytes(), &[], entry.to_string().as_bytes()).await?;
    Ok(())
}
