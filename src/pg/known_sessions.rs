//! Many rows of `sessionize.sessions` that were just seen, locked and changed without the executor.

use pgrx::pg_sys;

use super::error::passing_errors;
use super::growth::{FixedColumns, columns_of};
use super::heap::{self, Entering};
use super::indexes::Indexes;
use super::new_sessions::{Operation, is_as_made};
use super::unguarded;

/// Where a version of a row is.
pub type Version = pg_sys::ItemPointerData;

/// Locks versions of rows, in the order given; says of each whether it is locked and the latest one. It locks nothing where
/// somebody has given the table what only the executor knows to respect.
pub fn lock(table: pg_sys::Oid, versions: &[Version]) -> Vec<bool> {
    let mut locked = vec![false; versions.len()];
    if locked.is_empty() {
        return locked;
    }
    // SAFETY: the relation is closed again; after an error PostgreSQL releases it with the transaction. One guard for all
    // rows: an error jumps over nothing that has to be dropped.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        if is_as_made(relation, Operation::Update) {
            let command = pg_sys::GetCurrentCommandId(true);
            passing_errors(|| {
                for (version, locked) in versions.iter().zip(&mut locked) {
                    *locked = lock_one(relation, *version, command);
                }
            });
        }
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
    }
    locked
}

/// # Safety
/// Under a guard; the relation must be open for writing.
unsafe fn lock_one(relation: pg_sys::Relation, version: Version, command: pg_sys::CommandId) -> bool {
    let mut row = pg_sys::HeapTupleData { t_self: version, ..Default::default() };
    let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: the version was seen in this transaction, whose snapshot keeps it; the page is pinned by the call and let go.
    unsafe {
        let (mode, policy) = (pg_sys::LockTupleMode::LockTupleExclusive, pg_sys::LockWaitPolicy::LockWaitBlock);
        let result =
            unguarded::heap_lock_tuple(relation, &mut row, command, mode, policy, false, &mut buffer, &mut failure);
        unguarded::ReleaseBuffer(buffer);
        result == pg_sys::TM_Result::TM_Ok
    }
}

/// Writes the columns that come first of rows that [`lock`] has locked.
pub fn change(table: pg_sys::Oid, rows: &[(Version, FixedColumns)]) {
    if rows.is_empty() {
        return;
    }
    // SAFETY: what is opened here is closed again; after an error PostgreSQL releases it with the transaction. Nobody else
    // can have changed rows that are locked. One guard for all rows: an error jumps over nothing that has to be dropped.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let indexes = Indexes::open(relation);
        let state = pg_sys::CreateExecutorState();
        let slot = pg_sys::MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsHeapTuple);
        let memory = (*pg_sys::MakePerTupleExprContext(state)).ecxt_per_tuple_memory;
        let caller = pg_sys::MemoryContextSwitchTo(memory);
        passing_errors(|| {
            for (version, columns) in rows {
                let (row, entering) = write_version(relation, *version, columns);
                if entering != Entering::Nothing {
                    indexes.enter_version(row, slot, state, entering == Entering::Summaries);
                }
                unguarded::MemoryContextReset(memory);
            }
        });
        pg_sys::MemoryContextSwitchTo(caller);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::FreeExecutorState(state);
        indexes.close();
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        pg_sys::CommandCounterIncrement();
    }
}

/// Writes the new version of a row, which nobody else can change meanwhile, and gives it.
///
/// # Safety
/// Under a guard; the table must still have the version.
unsafe fn write_version(
    relation: pg_sys::Relation,
    version: Version,
    columns: &FixedColumns,
) -> (pg_sys::HeapTuple, Entering) {
    let mut old = pg_sys::HeapTupleData { t_self: version, ..Default::default() };
    let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
    // SAFETY: the caller vouches for the version; its page is pinned until it is copied.
    unsafe {
        unguarded::heap_fetch(relation, &raw mut pg_sys::SnapshotAnyData, &mut old, &mut buffer, false);
        let new = unguarded::heap_copytuple(&mut old);
        unguarded::ReleaseBuffer(buffer);
        columns_of(new).write(*columns);
        let entering = heap::update_locked(relation, &mut old.t_self, new);
        (new, entering)
    }
}
