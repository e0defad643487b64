//! Who is meant, and where they are connected.

mod connection_cache;
mod connections;
mod member_cache;
mod members;
mod roads;

pub use connections::{Connections, Routes};
pub use member_cache::{Change, MemberCache, MemberList};
pub(crate) use members::{CoreAway, CoreClient, Members, hello};
pub use roads::Audience;
