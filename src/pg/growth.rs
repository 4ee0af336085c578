//! Changes of single rows of `sessionize.sessions` without the executor: this is what each event costs.

use pgrx::pg_sys;
use sessionize_core::Instant;

use super::call::varlena_bytes;
use super::error::passing_errors;
use super::heap::{self, Entering};
use super::indexes::Indexes;
use super::sessions::{RowAddress, begin_scan, column, next_row};
use super::unguarded;

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

impl FixedColumns {
    /// Reads the columns from their places, counted from 0.
    pub fn read(column: impl Fn(usize) -> i64) -> Self {
        FixedColumns {
            id: column(0),
            first: column(1),
            last: column(2),
            closes_at: column(3),
            expires_at: column(4),
            opened_at: column(5),
            next_first: column(6),
            events: column(7),
            passive: column(8),
            late: column(9),
            app_id: column(10) as i32,
            last_day: column(11) as i32,
        }
    }

    /// A column by its place, counted from 0; none where other columns begin.
    pub fn column(&self, place: usize) -> Option<i64> {
        let FixedColumns {
            id, first, last, closes_at, expires_at, opened_at, next_first, events, passive, late, ..
        } = *self;
        let (app_id, last_day) = (i64::from(self.app_id), i64::from(self.last_day));
        let columns =
            [id, first, last, closes_at, expires_at, opened_at, next_first, events, passive, late, app_id, last_day];
        columns.get(place).copied()
    }
}

/// Those of the fixed columns, and of the visitor that comes next.
const FIRST_TYPES: [pg_sys::Oid; 13] = [
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
    pg_sys::TEXTOID,
];

/// Changes the fixed columns of one session, if it is the visitor's and takes the change: `change` sees the row as it is at
/// that moment, and whether it was cancelled. Waits for others who change the row and looks again. `known` is where the row
/// was last seen. Gives where it is now; none where nothing was changed.
pub fn grow(
    table: pg_sys::Oid,
    primary_key: pg_sys::Oid,
    (id, visitor): (i64, &str),
    mut known: Option<RowAddress>,
    change: impl Fn(&FixedColumns, bool) -> Option<FixedColumns>,
) -> Option<RowAddress> {
    // SAFETY: the relation is closed again; after an error PostgreSQL releases it with the transaction. Rows are copied
    // before they are written, and pages are only touched by PostgreSQL's own functions.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let usable = starts_with_fixed_columns((*relation).rd_att);
        let find = |known: Option<RowAddress>| {
            known.and_then(|address| fetch_at(relation, address, id)).or_else(|| fetch(relation, primary_key, id))
        };
        let mut grown = None;
        while let Some((row, address)) = usable.then(|| find(known)).flatten() {
            let attempt = try_change(relation, row, address, visitor, &change);
            pg_sys::heap_freetuple(row);
            match attempt {
                Attempt::Written(address) => grown = Some(address),
                Attempt::Refused => {}
                Attempt::Outrun => {
                    known = Some(address);
                    continue;
                }
            }
            break;
        }
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        grown
    }
}

/// Copies the row at an address if it is that of a session, as committed last or as this transaction left it.
///
/// # Safety
/// The relation must be open for writing.
unsafe fn fetch_at(
    relation: pg_sys::Relation,
    address: RowAddress,
    id: i64,
) -> Option<(pg_sys::HeapTuple, RowAddress)> {
    // SAFETY: the table cannot shrink while it is locked for writing; the buffer is held until the row is copied, and
    // locked while it is looked for. One guard for all: an error jumps over nothing that has to be dropped.
    unsafe {
        let buffer = address.pin(relation)?;
        let mut place = address.pointer();
        let mut row = pg_sys::HeapTupleData::default();
        let copy = pg_sys::ffi::pg_guard_ffi_boundary(|| {
            unguarded::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let found = unguarded::heap_hot_search_buffer(
                &mut place,
                relation,
                buffer,
                &raw mut pg_sys::SnapshotSelfData,
                &mut row,
                std::ptr::null_mut(),
                true,
            );
            let copy = (found && (*columns_of(&mut row)).id == id).then(|| unguarded::heap_copytuple(&mut row));
            unguarded::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
            if copy.is_some() && !has_room(buffer, row.t_len as usize) {
                unguarded::heap_page_prune_opt(relation, buffer);
            }
            unguarded::ReleaseBuffer(buffer);
            copy
        });
        copy.map(|copy| (copy, RowAddress::new(address.pointer(), buffer)))
    }
}

/// Whether a page has room for the next version of a row, and for one that somebody else writes meanwhile: then the update
/// is HOT. An index scan tidies a page up each time that it is fuller than its fillfactor, which costs more than the update.
///
/// # Safety
/// Under a guard; the buffer must be pinned.
unsafe fn has_room(buffer: pg_sys::Buffer, length: usize) -> bool {
    // SAFETY: what is read is a hint, so nobody needs to be kept from changing it.
    unsafe {
        let page = pg_sys::BufferGetPage(buffer);
        let was_full = u32::from((*page.cast::<pg_sys::PageHeaderData>()).pd_flags) & pg_sys::PD_PAGE_FULL != 0;
        !was_full && unguarded::PageGetHeapFreeSpace(page.cast()) >= 2 * length.next_multiple_of(align_of::<i64>())
    }
}

/// Finds and copies the row of a session as committed last, or as this transaction left it.
///
/// # Safety
/// The relation must be open, and the index be its primary key.
unsafe fn fetch(
    relation: pg_sys::Relation,
    primary_key: pg_sys::Oid,
    id: i64,
) -> Option<(pg_sys::HeapTuple, RowAddress)> {
    // SAFETY: the key fits the first column of the primary key; index, slot, scan and snapshot end here.
    unsafe {
        let index = pg_sys::index_open(primary_key, pg_sys::AccessShareLock as i32);
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
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
        let found = passing_errors(|| next_row(scan, pg_sys::ScanDirection::ForwardScanDirection, slot));
        let mut may_free = false;
        let copy = found.map(|address| {
            (pg_sys::heap_copytuple(pg_sys::ExecFetchSlotHeapTuple(slot, false, &mut may_free)), address)
        });
        pg_sys::index_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_close(index, pg_sys::NoLock as i32);
        copy
    }
}

/// # Safety
/// The row must be one of a table that starts with the fixed columns.
pub(super) unsafe fn columns_of(row: pg_sys::HeapTuple) -> *mut FixedColumns {
    // SAFETY: the caller vouches for the row.
    unsafe {
        let header = (*row).t_data;
        header.cast::<u8>().add(usize::from((*header).t_hoff)).cast()
    }
}

/// How an attempt to change a row ended.
enum Attempt {
    /// It is written, and here it is.
    Written(RowAddress),
    /// The session as it is now does not take the events.
    Refused,
    /// Somebody else changed it first.
    Outrun,
}

/// Changes a row.
///
/// # Safety
/// The relation must be open for writing, start with the fixed columns, and the row be a copy of one of its rows.
unsafe fn try_change(
    relation: pg_sys::Relation,
    row: pg_sys::HeapTuple,
    address: RowAddress,
    visitor: &str,
    change: &impl Fn(&FixedColumns, bool) -> Option<FixedColumns>,
) -> Attempt {
    // SAFETY: the copy has the row's own layout; the old row is the one that was found, and heap_update checks that it
    // still is the latest.
    unsafe {
        let columns = columns_of(row);
        if varlena_bytes(pg_sys::Datum::from(columns.add(1))) != visitor.as_bytes() {
            return Attempt::Refused; // a trigger changed the visitor when the session had been guessed
        }
        let cancelled = !pg_sys::heap_attisnull(row, column::CANCELLED_AT as i32, (*relation).rd_att);
        let Some(changed) = change(&*columns, cancelled) else { return Attempt::Refused };
        columns.write(changed);
        let mut old = (*row).t_self;
        let command = pg_sys::GetCurrentCommandId(true);
        let (result, entering) = pg_sys::ffi::pg_guard_ffi_boundary(|| heap::update(relation, &mut old, row, command));
        match result {
            pg_sys::TM_Result::TM_Ok => {
                if entering != Entering::Nothing {
                    insert_into_indexes(relation, row, entering);
                }
                pg_sys::CommandCounterIncrement();
                Attempt::Written(if entering == Entering::All { RowAddress::new((*row).t_self, 0) } else { address })
            }
            pg_sys::TM_Result::TM_Updated => Attempt::Outrun,
            _ => Attempt::Refused,
        }
    }
}

/// # Safety
/// `columns` must describe a table.
pub(super) unsafe fn starts_with_fixed_columns(columns: pg_sys::TupleDesc) -> bool {
    // SAFETY: the caller vouches for the description, which stays open with its table.
    let columns = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(columns) };
    columns.len() > FIRST_TYPES.len()
        && FIRST_TYPES.iter().enumerate().all(|(place, expected)| {
            columns
                .get(place)
                .is_some_and(|column| column.atttypid == *expected && column.attnotnull && !column.attisdropped)
        })
}

/// Enters the new version of a row into the indexes that lack it.
///
/// # Safety
/// The relation must be open for writing and the row be stored in it.
#[cold]
unsafe fn insert_into_indexes(relation: pg_sys::Relation, row: pg_sys::HeapTuple, entering: Entering) {
    // SAFETY: what is made for this one row is freed after it.
    unsafe {
        let indexes = Indexes::open(relation);
        let state = pg_sys::CreateExecutorState();
        let slot = pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsHeapTuple);
        passing_errors(|| indexes.enter_version(row, slot, state, entering == Entering::Summaries));
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::FreeExecutorState(state);
        indexes.close();
    }
}
