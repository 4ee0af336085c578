//! The statements that read and write sessions, and what does without one.

use pgrx::pg_sys::{self, Oid};

/// A statement whose plan is made at first use and kept.
struct Statement {
    sql: &'static str,
    types: &'static [Oid],
}

macro_rules! kept {
    ($connection:expr, $statement:expr, $arguments:expr) => {{
        use $crate::pg::spi::Plan;
        thread_local! {
            static PLAN: std::cell::OnceCell<Plan> = const { std::cell::OnceCell::new() };
        }
        PLAN.with(|plan| {
            let statement: &Statement = &$statement;
            $connection.run(plan.get_or_init(|| Plan::prepare($connection, statement.sql, statement.types)), $arguments)
        })
    }};
}

mod load;
mod notes;
mod visitors;
mod write;

pub use load::{Locked, Wanted, load_sessions};
pub use notes::{Changed, StatusChange, count_unassigned, note_changed, note_status_changes, settled_day};
pub use visitors::{add_visitors, lock_visitors, look_up, open_visitor_index, visitors_of};
pub use write::{Written, delete_sessions, insert_sessions, retire_sessions, update_sessions};

const BIGINT: Oid = pg_sys::INT8OID;
const BIGINTS: Oid = pg_sys::INT8ARRAYOID;
const INSTANT: Oid = pg_sys::TIMESTAMPTZOID;
const INSTANTS: Oid = pg_sys::TIMESTAMPTZARRAYOID;
const INTEGER: Oid = pg_sys::INT4OID;
const TEXT: Oid = pg_sys::TEXTOID;
const TEXTS: Oid = pg_sys::TEXTARRAYOID;
