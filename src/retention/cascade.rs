//! Sessions go, and what belongs to them in users' tables goes with them or is detached.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pgrx::pg_sys::{BOOLOID, Datum, INT8ARRAYOID, Oid};

use crate::pg::call::Call;
use crate::pg::own_settings;
use crate::pg::owner::AsOwner;
use crate::pg::rows::{Value, give_rows};
use crate::pg::spi::{Argument, Connection};
use crate::pg::table::{UserTable, quoted};
use crate::pg::transition::DeletedRows;
use crate::pg_function;

const REGISTERED: &str = "
    SELECT relation::pg_catalog.oid, session_id::pg_catalog.text, on_purge, events
      FROM sessionize.attached_tables
     WHERE on_purge OPERATOR(pg_catalog.<>) 'keep'
       AND NOT ($1 AND events) -- a session that went with its last event has none
     ORDER BY relation";

/// Passed on as an array, whose size the planner knows: it reads the whole table for many, and uses the index for few.
const GONE: &str = "SELECT (sessionize.ids_of_sessions(pg_catalog.array_agg(session_id))).ids FROM gone";

const GOING: &str = "pg_catalog.unnest($1) AS going (id)";

/// What sorting one id takes, and what sorting ids may take at most.
const BYTES_PER_ID: usize = 128;
const MOST_KILOBYTES: usize = 64 * 1024;

thread_local! {
    /// How many rows of each table went or were detached since somebody took the numbers.
    static CASCADED: RefCell<BTreeMap<u32, i64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The trigger of sessionize.sessions: one statement per table, with the rights of the table's owner.
fn cascade(call: &mut Call) -> Datum {
    let deleted = DeletedRows::of(call);
    if deleted.count > 0 && !own_settings::is_merging() {
        let connection = Connection::open();
        deleted.show_to(&connection);
        let gone = connection.run_once(GONE, &[], &[]).first().and_then(|row| row.datum(1));
        // As much memory as it takes to go through a table in order of its index. With more the planner would rather put
        // the whole table into memory.
        let memory = (deleted.count as usize * BYTES_PER_ID / 1024).min(MOST_KILOBYTES);
        for row in connection.run_once(REGISTERED, &[Argument::flag(own_settings::is_settling())], &[BOOLOID]).iter() {
            let (Some(oid), Some(column), Some(on_purge)) = (row.oid(1), row.text(2), row.text(3)) else { continue };
            // Tables that were dropped hold nothing.
            let Some(table) = UserTable::to_change(oid) else { continue };
            // Tables that inherit from a tracked one are not tracked with it.
            let name = if row.flag(4) == Some(true) { &table.own } else { &table.name };
            let column = quoted(&column);
            let theirs = format!("attached.{column} OPERATOR(pg_catalog.=) going.id");
            let statement = if on_purge == "detach" {
                format!("UPDATE {name} AS attached SET {column} = NULL FROM {GOING} WHERE {theirs}")
            } else {
                format!("DELETE FROM {name} AS attached USING {GOING} WHERE {theirs}")
            };
            let affected = {
                let _owner = AsOwner::of_users_table(oid).with_memory(memory);
                connection.run_once(&statement, &[Argument::passed(gone)], &[INT8ARRAYOID]).count()
            };
            CASCADED.with_borrow_mut(|counts| *counts.entry(oid.to_u32()).or_default() += affected as i64);
        }
    }
    Datum::null() // what a trigger for statements returns
}

/// What went since this was last asked in this connection. Whoever wants the numbers of one DELETE asks before and
/// after it, which also forgets what was counted and then rolled back.
fn take_cascaded(call: &mut Call) -> Datum {
    let counts = CASCADED.take();
    let row = |(oid, count)| [Value::Any(Some(Oid::from_u32(oid).into())), Value::Bigint(count)];
    let rows: Vec<[Value; 2]> = counts.into_iter().map(row).collect();
    give_rows(call, &rows)
}

pg_function!(
    /// `sessionize.cascade()`
    sessionize_cascade, pg_finfo_sessionize_cascade, cascade
);
pg_function!(
    /// `sessionize.take_cascaded()`
    sessionize_take_cascaded, pg_finfo_sessionize_take_cascaded, take_cascaded
);
