//! The rules of pg_sessionize: which events of a visitor form a session.
//!
//! Everything here is plain Rust over integers. Instants are microseconds since
//! 2000-01-01 00:00 UTC, PostgreSQL's own epoch, so that glue code converts nothing.

pub mod assignment;
pub mod calendar;
pub mod cursor;
pub mod display;
pub mod encoding;
pub mod error;
pub mod facts;
pub mod instant;
pub mod packed;
pub mod rule;
pub mod set;
pub mod span;
pub mod text;

pub use calendar::{Calendar, Zone};
pub use error::{Error, Result};
pub use instant::{Instant, Micros};
pub use rule::{Boundary, Rule};
pub use set::SessionSet;
pub use span::Span;
