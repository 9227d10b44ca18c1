//! End to end: the binary as a user runs it, real databases and a real log. Each module's tests say what they promise.

mod commands;
mod dev;
mod journey;
mod kills;
mod nation;
mod observed;
mod residents;
mod secure;
mod site;
mod stranger;
mod traces;
mod zombies;
