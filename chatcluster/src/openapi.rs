//! `chatcluster openapi`: the document, for generators and for the drift check.
#![allow(clippy::print_stdout, reason = "the output is the product")]

pub fn print() -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&chatcluster_core::rest::openapi())?);
    Ok(())
}
