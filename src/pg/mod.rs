//! Thin wrappers over PostgreSQL: the only place with `unsafe`. What they hand out is safe to use.

pub mod block_range;
pub mod call;
pub mod error;
pub mod growth;
mod heap;
pub mod indexes;
pub mod known_sessions;
pub mod memory;
mod new_rows;
pub mod new_sessions;
pub mod new_visitors;
pub mod own_settings;
pub mod owner;
pub mod rewriting;
pub mod rows;
pub mod session_log;
pub mod sessions;
pub mod spi;
pub mod stored_row;
pub mod table;
pub mod transaction;
pub mod transition;
pub mod trigger;
mod unguarded;
pub mod window;
