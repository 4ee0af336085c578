//! Direct access to the rows of `sessionize.sessions`, without the executor: this is what each event costs.

use pgrx::pg_sys;
use sessionize_core::Instant;

/// The numbers of the columns, as sql/schema.sql declares them.
mod column {
    pub const SESSION_ID: usize = 1;
    pub const STARTED_AT: usize = 2;
    pub const LAST_EVENT_AT: usize = 3;
    pub const EXPIRES_AT: usize = 5;
    pub const NEXT_STARTED_AT: usize = 7;
    pub const CANCELLED_AT: usize = 20;
}

/// A place in an index of sessions by (app_id, visitor, started_at).
mod key {
    pub const APP_ID: i16 = 1;
    pub const VISITOR: i16 = 2;
    pub const STARTED_AT: i16 = 3;
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
}

impl VisitorIndex {
    /// Opens the table and the index, to see what is committed by now (or, in a transaction that keeps to one moment,
    /// what was then).
    pub fn open(table: pg_sys::Oid, index: pg_sys::Oid) -> Self {
        // SAFETY: ordinary calls, undone in drop; after an error PostgreSQL releases all of it with the transaction.
        unsafe {
            let table = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
            let index = pg_sys::index_open(index, pg_sys::AccessShareLock as i32);
            let slot = pg_sys::table_slot_create(table, std::ptr::null_mut());
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot());
            VisitorIndex { table, index, slot, snapshot }
        }
    }

    /// Shows a visitor's sessions one by one until `each` says that it has seen enough.
    pub fn walk(&self, app: i32, visitor: &str, direction: Direction, mut each: impl FnMut(Glimpse) -> bool) {
        let (strategy, function, bound, scan_direction) = match direction {
            Direction::BackFrom(at) => (
                pg_sys::BTLessEqualStrategyNumber,
                pg_sys::F_TIMESTAMPTZ_LE,
                at,
                pg_sys::ScanDirection::BackwardScanDirection,
            ),
            Direction::After(at) => (
                pg_sys::BTGreaterStrategyNumber,
                pg_sys::F_TIMESTAMPTZ_GT,
                at,
                pg_sys::ScanDirection::ForwardScanDirection,
            ),
        };
        let equal = pg_sys::BTEqualStrategyNumber;
        // SAFETY: the keys fit the columns of the index; the slot fits the table; the scan ends before anything is closed.
        unsafe {
            let visitor = pg_sys::cstring_to_text_with_len(visitor.as_ptr().cast(), visitor.len() as i32);
            let mut keys = [pg_sys::ScanKeyData::default(); 3];
            let parts = [
                (key::APP_ID, equal, pg_sys::F_INT4EQ, pg_sys::InvalidOid, pg_sys::Datum::from(app)),
                (key::VISITOR, equal, pg_sys::F_TEXTEQ, pg_sys::Oid::from(950), pg_sys::Datum::from(visitor)),
                (key::STARTED_AT, strategy, function, pg_sys::InvalidOid, pg_sys::Datum::from(bound)),
            ];
            for (key, (column, strategy, function, collation, value)) in keys.iter_mut().zip(parts) {
                pg_sys::ScanKeyEntryInitialize(
                    key,
                    0,
                    column,
                    strategy as u16,
                    pg_sys::InvalidOid,
                    collation,
                    pg_sys::Oid::from(function),
                    value,
                );
            }
            let scan = begin_scan(self.table, self.index, self.snapshot, 3);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), 3, std::ptr::null_mut(), 0);
            while pg_sys::index_getnext_slot(scan, scan_direction, self.slot) {
                if !each(self.glimpse()) {
                    break;
                }
            }
            pg_sys::index_endscan(scan);
            pg_sys::pfree(visitor.cast());
        }
    }

    /// # Safety
    /// The slot must hold a session.
    unsafe fn glimpse(&self) -> Glimpse {
        // SAFETY: the columns up to the last one wanted are deformed first; all but the last are never NULL.
        unsafe {
            pg_sys::slot_getsomeattrs_int(self.slot, column::CANCELLED_AT as i32);
            let slot = &*self.slot;
            let number = |column: usize| (*slot.tts_values.add(column - 1)).value() as i64;
            Glimpse {
                id: number(column::SESSION_ID),
                first: number(column::STARTED_AT),
                last: number(column::LAST_EVENT_AT),
                expires_at: number(column::EXPIRES_AT),
                next_first: number(column::NEXT_STARTED_AT),
                cancelled: !*slot.tts_isnull.add(column::CANCELLED_AT - 1),
            }
        }
    }
}

/// How an attempt to grow a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grown {
    /// The row is written.
    Yes,
    /// The session as it is now does not take the events, or there is no such session.
    No,
}

/// The columns that come first in each row, all of fixed width and never NULL, as they lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FixedColumns {
    /// `session_id`
    pub id: i64,
    /// `started_at`
    pub first: Instant,
    /// `last_event_at`
    pub last: Instant,
    /// `closes_at`
    pub closes_at: Instant,
    /// `expires_at`
    pub expires_at: Instant,
    /// `opened_at`
    pub opened_at: Instant,
    /// `next_started_at`
    pub next_first: Instant,
    /// `event_count`
    pub events: i64,
    /// `passive_count`
    pub passive: i64,
    /// `late_count`
    pub late: i64,
    /// `app_id`
    pub app_id: i32,
    /// `last_event_day`, in days since 2000-01-01
    pub last_day: i32,
}

const FIXED_TYPES: [pg_sys::Oid; 12] = [
    pg_sys::INT8OID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::INT8OID,
    pg_sys::INT8OID,
    pg_sys::INT8OID,
    pg_sys::INT4OID,
    pg_sys::DATEOID,
];

/// Changes the fixed columns of one session, if it takes the change: `change` sees the row as it is at that moment, and
/// whether it was cancelled. Waits for others who change the row and looks again.
pub fn grow(
    table: pg_sys::Oid,
    primary_key: pg_sys::Oid,
    id: i64,
    change: impl Fn(&FixedColumns, bool) -> Option<FixedColumns>,
) -> Grown {
    // SAFETY: the relations are closed again; after an error PostgreSQL releases them with the transaction. Tuples are
    // copied before they are written, and pages are only touched by PostgreSQL's own functions.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let index = pg_sys::index_open(primary_key, pg_sys::AccessShareLock as i32);
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
        let mut outcome = None;
        while outcome.is_none() {
            outcome =
                if fetch(relation, index, slot, id) { try_change(relation, slot, &change) } else { Some(Grown::No) };
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_close(index, pg_sys::NoLock as i32);
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        outcome.unwrap_or(Grown::No)
    }
}

/// Finds the row of a session as committed last, or as this transaction left it.
///
/// # Safety
/// The relations must be open and the slot be one of the table.
unsafe fn fetch(
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    id: i64,
) -> bool {
    // SAFETY: the key fits the first column of the primary key; the scan and the snapshot end here.
    unsafe {
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyEntryInitialize(
            &mut key,
            0,
            1,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::InvalidOid,
            pg_sys::InvalidOid,
            pg_sys::Oid::from(pg_sys::F_INT8EQ),
            pg_sys::Datum::from(id),
        );
        let scan = begin_scan(relation, index, snapshot, 1);
        pg_sys::index_rescan(scan, &mut key, 1, std::ptr::null_mut(), 0);
        let found = pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot);
        pg_sys::index_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        found
    }
}

/// # Safety
/// The relations must be open and the snapshot registered.
unsafe fn begin_scan(
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

/// Changes the row in a slot; none where somebody else changed it meanwhile.
///
/// # Safety
/// The relation must be open for writing and the slot hold one of its rows.
unsafe fn try_change(
    relation: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    change: &impl Fn(&FixedColumns, bool) -> Option<FixedColumns>,
) -> Option<Grown> {
    // SAFETY: the copy has the row's own layout, whose first columns were checked to be the fixed ones; the old row is
    // the one the slot shows, and heap_update checks that it still is the latest.
    unsafe {
        if !starts_with_fixed_columns((*relation).rd_att) {
            return Some(Grown::No);
        }
        let mut may_free = false;
        let current = pg_sys::ExecFetchSlotHeapTuple(slot, false, &mut may_free);
        let copy = pg_sys::heap_copytuple(current);
        let header = &*(*copy).t_data;
        let columns = (*copy).t_data.cast::<u8>().add(usize::from(header.t_hoff)).cast::<FixedColumns>();
        let mut cancelled_is_null = false;
        pg_sys::heap_getattr(copy, column::CANCELLED_AT as i32, (*relation).rd_att, &mut cancelled_is_null);
        let Some(changed) = change(&*columns, !cancelled_is_null) else {
            pg_sys::heap_freetuple(copy);
            return Some(Grown::No);
        };
        columns.write(changed);
        let mut row = (*slot).tts_tid;
        let mut failure = pg_sys::TM_FailureData::default();
        let mut lock_mode = pg_sys::LockTupleMode::LockTupleNoKeyExclusive;
        let command = pg_sys::GetCurrentCommandId(true);
        #[cfg(feature = "pg15")]
        let result = pg_sys::heap_update(
            relation,
            &mut row,
            copy,
            command,
            std::ptr::null_mut(),
            true,
            &mut failure,
            &mut lock_mode,
        );
        #[cfg(not(feature = "pg15"))]
        let result = {
            let mut indexes = pg_sys::TU_UpdateIndexes::TU_None;
            pg_sys::heap_update(
                relation,
                &mut row,
                copy,
                command,
                std::ptr::null_mut(),
                true,
                &mut failure,
                &mut lock_mode,
                &mut indexes,
            )
        };
        let outcome = match result {
            pg_sys::TM_Result::TM_Ok => {
                if u32::from((*(*copy).t_data).t_infomask2) & pg_sys::HEAP_ONLY_TUPLE == 0 {
                    insert_into_indexes(relation, copy);
                }
                pg_sys::CommandCounterIncrement();
                Some(Grown::Yes)
            }
            pg_sys::TM_Result::TM_Updated => None,
            _ => Some(Grown::No),
        };
        pg_sys::heap_freetuple(copy);
        outcome
    }
}

/// # Safety
/// `columns` must describe a table.
unsafe fn starts_with_fixed_columns(columns: pg_sys::TupleDesc) -> bool {
    // SAFETY: the caller vouches for the description, which stays open with its table.
    let columns = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(columns) };
    columns.len() > FIXED_TYPES.len()
        && FIXED_TYPES.iter().enumerate().all(|(place, expected)| {
            columns
                .get(place)
                .is_some_and(|column| column.atttypid == *expected && column.attnotnull && !column.attisdropped)
        })
}

/// Enters a row that moved to another page into all indexes.
///
/// # Safety
/// The relation must be open for writing and the row be stored in it.
#[cold]
unsafe fn insert_into_indexes(relation: pg_sys::Relation, row: pg_sys::HeapTuple) {
    // SAFETY: the executor state is made for this one row and freed after it, as for replicated changes. It has no range
    // table, so the relation has no place in one, and PostgreSQL must not ask there which columns were updated.
    unsafe {
        let state = pg_sys::CreateExecutorState();
        let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
        (*result).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(result, relation, 0, std::ptr::null_mut(), 0);
        pg_sys::ExecOpenIndices(result, false);
        let slot = pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsHeapTuple);
        pg_sys::ExecStoreHeapTuple(row, slot, false);
        #[cfg(feature = "pg15")]
        pg_sys::ExecInsertIndexTuples(result, slot, state, false, false, std::ptr::null_mut(), std::ptr::null_mut());
        #[cfg(not(feature = "pg15"))]
        pg_sys::ExecInsertIndexTuples(
            result,
            slot,
            state,
            false,
            false,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            false,
        );
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::ExecCloseIndices(result);
        pg_sys::FreeExecutorState(state);
    }
}

impl Drop for VisitorIndex {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: undoes what `open` did; locks are kept until the end of the transaction.
        unsafe {
            pg_sys::UnregisterSnapshot(self.snapshot);
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, pg_sys::NoLock as i32);
            pg_sys::table_close(self.table, pg_sys::NoLock as i32);
        }
    }
}
