//! New rows of `sessionize.sessions`, and whether the table is still as the extension made it.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::call::text;
use super::growth::{FixedColumns, starts_with_fixed_columns};
use super::new_rows::{self, NewRow, first_bytes, is_plain};
use super::sessions::column;

/// A session to be written, of which nothing is known but times and counts.
pub struct NewSession<'s> {
    /// The columns that come first.
    pub fixed: FixedColumns,
    /// `visitor`
    pub visitor: &'s str,
    /// `token`
    pub token: [u8; 16],
}

/// Writes sessions, which come in order of their ids; says no, and writes nothing, where somebody has added what only the
/// executor knows to respect: triggers, constraints, columns, rules, policies, indexes of expressions.
pub fn insert(table: pg_sys::Oid, sessions: &[NewSession]) -> bool {
    // SAFETY: the table is as it was made.
    new_rows::insert(table, sessions, |relation| unsafe { is_as_made(relation, Operation::Insert) })
}

impl NewRow for NewSession<'_> {
    const COLUMNS: usize = column::COUNT;
    const DIFFERENT: std::ops::Range<usize> = 0..column::TOKEN;

    unsafe fn value(&self, place: usize) -> Option<pg_sys::Datum> {
        // SAFETY: the caller vouches for the guard and the memory.
        unsafe {
            match place + 1 {
                column::VISITOR => Some(text(self.visitor.as_bytes())),
                column::TOKEN => Some(text(&self.token)),
                column::RISK => Some(text(b"normal")),
                column::RISK_SCORE => Some(pg_sys::Datum::from(0_i16)),
                _ => self.fixed.column(place).map(pg_sys::Datum::from),
            }
        }
    }

    /// Sessions come in order of their ids, which nearly is the order of time.
    fn sort(sessions: &[Self], columns: &[usize], order: &mut [(u64, u32)]) {
        let session = |place: &u32| &sessions[*place as usize];
        match columns.iter().map(|place| place + 1).find(|number| *number != column::APP_ID) {
            Some(column::VISITOR) => {
                order.iter_mut().for_each(|(begins, place)| *begins = first_bytes(session(place).visitor.as_bytes()));
                let rest = |place: &u32| (session(place).visitor, session(place).fixed.first);
                order
                    .sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| rest(&one.1).cmp(&rest(&other.1))));
            }
            Some(column::TOKEN) => {
                order.iter_mut().for_each(|(begins, place)| *begins = first_bytes(&session(place).token));
                order.sort_unstable();
            }
            Some(column::STARTED_AT) => {
                order.sort_unstable_by_key(|(_, place)| (session(place).fixed.first, *place));
            }
            _ => {}
        }
    }
}

/// What is done to the table, and the trigger that need not fire for it: whoever settles events notes their days himself.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    /// Rows go in.
    Insert,
    /// Rows are changed.
    Update,
}

impl Operation {
    fn fires(self, trigger: &pg_sys::Trigger) -> bool {
        let (operation, notes_days) = match self {
            Operation::Insert => (pg_sys::TRIGGER_TYPE_INSERT, c"note_inserted_day"),
            Operation::Update => (pg_sys::TRIGGER_TYPE_UPDATE, c"note_updated_day"),
        };
        // SAFETY: the name of a trigger is terminated.
        let name = unsafe { CStr::from_ptr(trigger.tgname) };
        u32::from(trigger.tgtype as u16) & operation != 0 && name != notes_days
    }
}

/// Whether a table has no more than sql/schema.sql gave it, apart from indexes.
///
/// # Safety
/// The relation must be open.
pub(super) unsafe fn is_as_made(relation: pg_sys::Relation, operation: Operation) -> bool {
    // SAFETY: the cache entry of an open relation is valid, and its arrays have as many entries as they say.
    unsafe {
        let columns = (*relation).rd_att;
        let fires = (*relation).trigdesc.as_ref().is_some_and(|known| {
            let triggers = std::slice::from_raw_parts(known.triggers, known.numtriggers as usize);
            triggers.iter().any(|trigger| operation.fires(trigger))
        });
        is_plain(relation) && (*columns).natts as usize == column::COUNT && starts_with_fixed_columns(columns) && !fires
    }
}
