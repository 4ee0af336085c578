//! A range of blocks of a user's table, read and rewritten without the executor: a backfill goes through millions of rows.

use pgrx::pg_sys;

use super::rewriting::{Rewriting, needs_executor};
use super::stored_row::StoredRow;

/// A range of blocks of a table or partition, open for changing rows.
pub struct BlockRange {
    relation: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    first: u32,
    end: u32,
}

/// Where a row is in its table: its block, and its line in there.
pub type Spot = (u32, u16);

impl BlockRange {
    /// Opens a range, to see what is committed by now; none where the table was dropped, or does not store its rows as
    /// PostgreSQL itself does.
    pub fn open(table: pg_sys::Oid, (first, end): (u32, u32)) -> Option<Self> {
        // SAFETY: ordinary calls, undone in drop; after an error PostgreSQL releases all of it with the transaction.
        unsafe {
            let relation = pg_sys::try_relation_open(table, pg_sys::RowExclusiveLock as i32);
            let form = relation.as_ref()?.rd_rel.as_ref()?;
            if form.relam != pg_sys::HEAP_TABLE_AM_OID || computes_when_read((*relation).rd_att) {
                pg_sys::relation_close(relation, pg_sys::NoLock as i32);
                return None;
            }
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot());
            Some(BlockRange { relation, snapshot, first, end })
        }
    }

    /// Shows the rows of the range one by one, in order of their spots.
    pub fn read(&self, mut each: impl FnMut(&StoredRow)) {
        // SAFETY: the relation is open; a row stays in the slot, which is one for rows in buffers, until the next one is
        // asked for.
        unsafe {
            let scan = self.begin_scan();
            let slot = pg_sys::table_slot_create(self.relation, std::ptr::null_mut());
            while pg_sys::heap_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
                let row = &*(*slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple;
                each(&StoredRow::of(row, slot, (*self.relation).rd_id));
            }
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            pg_sys::heap_endscan(scan);
        }
    }

    /// Writes a `bigint` column of rows, which come in order of their spots, as an UPDATE by the current role would; gives
    /// how many of the rows still were there. Says no, and writes nothing, where that takes an UPDATE indeed.
    pub fn write(&self, column: i16, values: &[(Spot, i64)]) -> Option<usize> {
        // SAFETY: the relation is open for changing rows, and the scan open until it ends here.
        unsafe {
            if needs_executor(self.relation, column) {
                return None;
            }
            let mut rewriting = Rewriting::begin(self.relation, column)?;
            let scan = self.begin_scan();
            let written = rewriting.run(scan, values);
            pg_sys::heap_endscan(scan);
            rewriting.end();
            Some(written)
        }
    }

    /// # Safety
    /// The scan must end before the range is closed.
    unsafe fn begin_scan(&self) -> pg_sys::TableScanDesc {
        // SAFETY: the relation is open and the snapshot registered. What is read is soon written, so pages may stay in memory.
        unsafe {
            let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
            let (keys, parallel) = (std::ptr::null_mut(), std::ptr::null_mut());
            // Blocks that are added from here on lie outside, and a scan that goes beyond its end would start all over.
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM);
            let scan = pg_sys::heap_beginscan(self.relation, self.snapshot, 0, keys, parallel, flags);
            let count = self.end.min(blocks).saturating_sub(self.first);
            pg_sys::heap_setscanlimits(scan, if count == 0 { 0 } else { self.first }, count);
            scan
        }
    }
}

impl Drop for BlockRange {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: undoes what `open` did; the lock is kept until the end of the transaction.
        unsafe {
            pg_sys::UnregisterSnapshot(self.snapshot);
            pg_sys::relation_close(self.relation, pg_sys::NoLock as i32);
        }
    }
}

/// Whether columns have values that are not stored.
///
/// # Safety
/// The columns must be those of an open table.
unsafe fn computes_when_read(_columns: pg_sys::TupleDesc) -> bool {
    #[cfg(feature = "pg18")]
    // SAFETY: the caller vouches for the description.
    return unsafe { (*_columns).constr.as_ref().is_some_and(|known| known.has_generated_virtual) };
    #[cfg(not(feature = "pg18"))]
    false
}
