//! Tests of the stream's parts, the server's own messages among them.

mod malformed;
mod messages;
mod relations;
mod server;
mod values;
