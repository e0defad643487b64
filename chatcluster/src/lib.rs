//! The whole platform in one process, and the command line of those who operate it.

pub mod cli;
mod in_process;
pub mod openapi;
mod page;
pub mod run;
pub mod topics;
