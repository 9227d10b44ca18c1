//! Generated contracts and rows, and how they look to this codec and to apache-avro, the second opinion.

#![allow(dead_code)] // Each test file uses a part of it.

pub(crate) mod model;
pub(crate) mod runner;
pub(crate) mod second_opinion;
pub(crate) mod strategies;
