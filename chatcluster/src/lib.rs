//! The whole platform in one process, and the command line of those who operate it.

pub mod cli;
pub mod dead_letters;
mod in_process;
pub mod openapi;
mod page;
pub mod run;
pub mod topics;
