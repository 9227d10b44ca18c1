//! End to end: the binary as a user runs it, real databases and a real log. Each module's tests say what they promise.

mod canary;
mod commands;
mod defects;
mod demo;
mod demo_run;
mod dev;
mod examples;
mod families;
mod journey;
mod kills;
mod nation;
mod observed;
mod programs;
mod quality;
mod residents;
mod search;
mod secure;
mod served;
mod sharing;
mod site;
mod stops;
mod stranger;
mod traces;
mod tutorial;
mod unprepare;
mod zombies;
