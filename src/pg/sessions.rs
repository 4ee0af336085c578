//! Looks at rows of `sessionize.sessions` without the executor.

use pgrx::pg_sys;
use sessionize_core::Instant;

use super::call::text;
use super::error::passing_errors;
use super::growth::FixedColumns;
use super::known_sessions::Version;
use super::unguarded;

/// The numbers of the columns, as sql/schema.sql declares them.
pub(super) mod column {
    pub const SESSION_ID: usize = 1;
    pub const STARTED_AT: usize = 2;
    pub const LAST_EVENT_AT: usize = 3;
    pub const EXPIRES_AT: usize = 5;
    pub const NEXT_STARTED_AT: usize = 7;
    pub const APP_ID: usize = 11;
    pub const VISITOR: usize = 13;
    pub const TOKEN: usize = 14;
    pub const RISK: usize = 15;
    pub const RISK_SCORE: usize = 16;
    pub const CONVERTED_AT: usize = 18;
    pub const CANCELLED_AT: usize = 20;
    pub const FACTS_AT: usize = 29;
    pub const COUNT: usize = 29;
}

/// A place in an index of sessions by (app_id, visitor, started_at).
mod key {
    pub const APP_ID: i16 = 1;
    pub const VISITOR: i16 = 2;
    pub const STARTED_AT: i16 = 3;
}

/// Where a row is found: the place that indexes name, from which its versions on the page follow, and the buffer that the
/// page was in. Both are hints; whoever follows them checks what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowAddress {
    block: u32,
    line: u16,
    buffer: pg_sys::Buffer,
}

impl RowAddress {
    /// The address of a row that an index names so.
    pub(super) fn new(named: pg_sys::ItemPointerData, buffer: pg_sys::Buffer) -> Self {
        let (block, line) = pgrx::itemptr::item_pointer_get_both(named);
        RowAddress { block, line, buffer }
    }

    /// As PostgreSQL writes it.
    pub(super) fn pointer(&self) -> pg_sys::ItemPointerData {
        let mut pointer = pg_sys::ItemPointerData::default();
        pgrx::itemptr::item_pointer_set_all(&mut pointer, self.block, self.line);
        pointer
    }

    /// Pins the page; none where the table has become shorter.
    ///
    /// # Safety
    /// The relation must be open, and locked so that it does not shrink meanwhile.
    pub(super) unsafe fn pin(&self, relation: pg_sys::Relation) -> Option<pg_sys::Buffer> {
        let fork = pg_sys::ForkNumber::MAIN_FORKNUM;
        // SAFETY: a buffer that once was valid can be asked whether it still holds the page.
        unsafe {
            #[cfg(feature = "pg15")]
            let file = (*relation).rd_node;
            #[cfg(not(feature = "pg15"))]
            let file = (*relation).rd_locator;
            if self.buffer > 0 && pg_sys::ReadRecentBuffer(file, fork, self.block, self.buffer) {
                return Some(self.buffer);
            }
            let is_there = self.block < pg_sys::RelationGetNumberOfBlocksInFork(relation, fork);
            is_there.then(|| pg_sys::ReadBuffer(relation, self.block))
        }
    }
}

/// What a look at a session shows.
#[derive(Debug, Clone, Copy)]
pub struct Glimpse {
    /// Its id.
    pub id: i64,
    /// Its earliest event.
    pub first: Instant,
    /// Its latest event.
    pub last: Instant,
    /// Until then it takes late events.
    pub expires_at: Instant,
    /// When the visitor's next session begins.
    pub next_first: Instant,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Where its row is.
    pub address: RowAddress,
}

/// Which of a visitor's sessions to look at, and in which order.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// Those that begin at an instant or before, latest first.
    BackFrom(Instant),
    /// Those that begin after an instant, earliest first.
    After(Instant),
}

/// The sessions table and its index by visitor, open for looking.
pub struct VisitorIndex {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    snapshot: pg_sys::Snapshot,
    scan: pg_sys::IndexScanDesc,
    keys: [pg_sys::ScanKeyData; 3],
    /// Where all of this lies.
    memory: pg_sys::MemoryContext,
}

impl VisitorIndex {
    /// Opens the table and the index, to see what is committed by now (or, in a transaction that keeps to one moment,
    /// what was then). They have to be closed while the same statement is under way.
    pub fn open(table: pg_sys::Oid, index: pg_sys::Oid) -> Self {
        // SAFETY: ordinary calls, undone in drop; after an error PostgreSQL releases all of it with the transaction.
        unsafe {
            let memory = pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurTransactionContext,
                c"visitor index of pg_sessionize".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            let caller = pg_sys::MemoryContextSwitchTo(memory);
            let table = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
            let index = pg_sys::index_open(index, pg_sys::AccessShareLock as i32);
            let slot = pg_sys::table_slot_create(table, std::ptr::null_mut());
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot());
            let scan = begin_scan(table, index, snapshot, 3);
            let equal = pg_sys::BTEqualStrategyNumber;
            let keys = [
                key(key::APP_ID, equal, pg_sys::F_INT4EQ, pg_sys::InvalidOid),
                key(key::VISITOR, equal, pg_sys::F_TEXTEQ, pg_sys::C_COLLATION_OID),
                key(key::STARTED_AT, pg_sys::BTLessEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_LE, pg_sys::InvalidOid),
            ];
            pg_sys::MemoryContextSwitchTo(caller);
            VisitorIndex { table, index, slot, snapshot, scan, keys, memory }
        }
    }

    /// Shows a visitor's sessions one by one until `each` says that it has seen enough.
    pub fn walk(&self, app: i32, visitor: &str, direction: Direction, mut each: impl FnMut(Glimpse) -> bool) {
        // SAFETY: the keys fit the columns of the index, and the slot fits the table. An error jumps over nothing that has to
        // be dropped: what `each` is about to do ends before the next row is looked for.
        unsafe {
            let caller = pg_sys::MemoryContextSwitchTo(self.memory);
            let mut keys = self.keys;
            let (bound, scan_direction) = match direction {
                Direction::BackFrom(at) => (at, pg_sys::ScanDirection::BackwardScanDirection),
                Direction::After(at) => {
                    let (strategy, function) = (pg_sys::BTGreaterStrategyNumber, pg_sys::F_TIMESTAMPTZ_GT);
                    keys[2] = key(key::STARTED_AT, strategy, function, pg_sys::InvalidOid);
                    (at, pg_sys::ScanDirection::ForwardScanDirection)
                }
            };
            let scan = self.scan;
            passing_errors(|| {
                let visitor = text(visitor.as_bytes());
                let values = [pg_sys::Datum::from(app), visitor, pg_sys::Datum::from(bound)];
                keys.iter_mut().zip(values).for_each(|(key, value)| key.sk_argument = value);
                unguarded::index_rescan(scan, keys.as_mut_ptr(), 3, std::ptr::null_mut(), 0);
                while let Some(address) = next_row(scan, scan_direction, self.slot) {
                    if !each(self.glimpse(address)) {
                        break;
                    }
                }
                unguarded::pfree(visitor.cast_mut_ptr());
            });
            pg_sys::MemoryContextSwitchTo(caller);
        }
    }

    /// Leaves everything to PostgreSQL, which is about to release it with the transaction or a part of it.
    pub fn abandon(self: Box<Self>) {
        std::mem::forget(*self); // but not the box
    }

    /// The session that is being shown, if nothing is known of it but times and counts, and which version of its row it is.
    pub fn plain(&self) -> Option<(FixedColumns, Version)> {
        // SAFETY: an empty slot has no columns; another one holds a session, of which the first columns are never NULL.
        unsafe {
            let slot = &*self.slot;
            if u32::from(slot.tts_flags) & pg_sys::TTS_FLAG_EMPTY != 0 {
                return None;
            }
            pg_sys::slot_getsomeattrs_int(self.slot, column::FACTS_AT as i32);
            let is_null = |column: usize| *slot.tts_isnull.add(column - 1);
            let number = |place: usize| (*slot.tts_values.add(place)).value() as i64;
            let plain = [column::CONVERTED_AT, column::CANCELLED_AT, column::FACTS_AT].into_iter().all(is_null);
            plain.then(|| (FixedColumns::read(number), slot.tts_tid))
        }
    }

    /// # Safety
    /// Under a guard; the slot must hold a session.
    unsafe fn glimpse(&self, address: RowAddress) -> Glimpse {
        // SAFETY: the columns up to the last one wanted are deformed first; all but the last are never NULL.
        unsafe {
            unguarded::slot_getsomeattrs_int(self.slot, column::CANCELLED_AT as i32);
            let slot = &*self.slot;
            let number = |column: usize| (*slot.tts_values.add(column - 1)).value() as i64;
            Glimpse {
                id: number(column::SESSION_ID),
                first: number(column::STARTED_AT),
                last: number(column::LAST_EVENT_AT),
                expires_at: number(column::EXPIRES_AT),
                next_first: number(column::NEXT_STARTED_AT),
                cancelled: !*slot.tts_isnull.add(column::CANCELLED_AT - 1),
                address,
            }
        }
    }
}

impl Drop for VisitorIndex {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: undoes what `open` did; locks are kept until the end of the transaction.
        unsafe {
            pg_sys::index_endscan(self.scan);
            pg_sys::UnregisterSnapshot(self.snapshot);
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, pg_sys::NoLock as i32);
            pg_sys::table_close(self.table, pg_sys::NoLock as i32);
            pg_sys::MemoryContextDelete(self.memory);
        }
    }
}

/// What is asked of a column of an index, but for the value.
///
/// # Safety
/// The function must be one of the strategy, for the type of the column.
unsafe fn key(column: i16, strategy: u32, function: u32, collation: pg_sys::Oid) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    let (subtype, function) = (pg_sys::InvalidOid, pg_sys::Oid::from(function));
    // SAFETY: the caller vouches for the function.
    unsafe {
        pg_sys::ScanKeyEntryInitialize(
            &mut key,
            0,
            column,
            strategy as u16,
            subtype,
            collation,
            function,
            pg_sys::Datum::null(),
        );
    }
    key
}

/// Puts the next visible row of a scan into the slot, and gives the place that the index names.
///
/// # Safety
/// Under a guard. The scan must be under way with a snapshot of one moment, and the slot fit its table.
pub(super) unsafe fn next_row(
    scan: pg_sys::IndexScanDesc,
    direction: pg_sys::ScanDirection::Type,
    slot: *mut pg_sys::TupleTableSlot,
) -> Option<RowAddress> {
    // SAFETY: this is how PostgreSQL walks itself; the place is copied before the row is fetched, which overwrites it. Rows
    // of ordinary tables lie in slots that hold a buffer.
    unsafe {
        loop {
            let named = *unguarded::index_getnext_tid(scan, direction).as_ref()?;
            if unguarded::index_fetch_heap(scan, slot) {
                let buffer = (*slot.cast::<pg_sys::BufferHeapTupleTableSlot>()).buffer;
                return Some(RowAddress::new(named, buffer));
            }
        }
    }
}

/// # Safety
/// The relations must be open and the snapshot registered.
pub(super) unsafe fn begin_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    keys: i32,
) -> pg_sys::IndexScanDesc {
    // SAFETY: the caller vouches for the arguments.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        return pg_sys::index_beginscan(table, index, snapshot, keys, 0);
        #[cfg(feature = "pg18")]
        return pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), keys, 0);
    }
}
