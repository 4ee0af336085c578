//! Whole tables at once: the aggregates and what can be asked of their result.

mod aggregate;
mod arguments;
mod session_number;
mod sessionset;
