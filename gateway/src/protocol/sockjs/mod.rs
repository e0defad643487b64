//! SockJS (protocol document 0.3.3), server side, as codecs: paths in, frames out, and how each transport carries them.
//!
//! A frame is `o`, `h`, `a[…]` or `c[…]`, the same for every transport; a message becomes its frame once, however many
//! sessions receive it.

mod escape;
mod form;
pub mod frames;
pub mod hixie76;
pub mod iframe;
pub mod incoming;
pub mod info;
pub mod route;
pub mod transport;

pub use escape::escape;
pub use form::value;
