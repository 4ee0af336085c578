//! New rows of `sessionize.visitors`.

use pgrx::pg_sys;
use sessionize_core::Instant;

use super::call::text;
use super::new_rows::{self, NewRow, is_plain};

/// A visitor to be written.
pub struct NewVisitor<'v> {
    /// `app_id`
    pub app: i32,
    /// `visitor`
    pub visitor: &'v str,
    /// `first_seen_at`
    pub seen: Instant,
}

/// Writes visitors, who come in order of their names; says no, and writes nothing, where somebody has added what only the
/// executor knows to respect. One that is there already raises 23505.
pub fn insert(table: pg_sys::Oid, visitors: &[NewVisitor]) -> bool {
    // SAFETY: the table is as it was made.
    new_rows::insert(table, visitors, |relation| unsafe { is_as_made(relation) })
}

const TYPES: [pg_sys::Oid; 4] = [pg_sys::INT4OID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID];

impl NewRow for NewVisitor<'_> {
    const COLUMNS: usize = TYPES.len();
    const DIFFERENT: std::ops::Range<usize> = 0..TYPES.len();

    unsafe fn value(&self, place: usize) -> Option<pg_sys::Datum> {
        match place {
            0 => Some(pg_sys::Datum::from(self.app)),
            // SAFETY: the caller vouches for the guard and the memory.
            1 => Some(unsafe { text(self.visitor.as_bytes()) }),
            2 => Some(pg_sys::Datum::from(self.seen)),
            _ => Some(pg_sys::Datum::from(0_i64)),
        }
    }

    fn sort(_visitors: &[Self], _columns: &[usize], _order: &mut [(u64, u32)]) {}
}

/// # Safety
/// The relation must be open.
unsafe fn is_as_made(relation: pg_sys::Relation) -> bool {
    // SAFETY: the caller vouches for the relation.
    unsafe {
        let columns = pgrx::PgTupleDesc::from_pg_unchecked((*relation).rd_att);
        is_plain(relation) && (*relation).trigdesc.is_null() && columns.iter().map(|column| column.atttypid).eq(TYPES)
    }
}
