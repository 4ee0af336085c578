//! PostgreSQL's functions as C declares them, without the guard that pgrx puts around each: for what is called for every
//! row, and for errors that have to pass as they came.
//!
//! Most can raise an error, which jumps to the nearest handler of PostgreSQL's. Callers put one handler around many calls
//! ([`passing_errors`](super::error::passing_errors)), or see to it that the jump passes nothing that has to be dropped.

use std::ffi::{c_char, c_int, c_long, c_void};

use pgrx::pg_sys::*;

unsafe extern "C-unwind" {
    // access/genam.h
    pub(super) fn index_insert(
        index: Relation,
        values: *mut Datum,
        nulls: *mut bool,
        row: ItemPointer,
        table: Relation,
        check: IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut IndexInfo,
    ) -> bool;
    pub(super) fn index_rescan(scan: IndexScanDesc, keys: ScanKey, count: c_int, orders: ScanKey, order_count: c_int);
    pub(super) fn index_getnext_tid(scan: IndexScanDesc, direction: ScanDirection::Type) -> ItemPointer;
    pub(super) fn index_fetch_heap(scan: IndexScanDesc, slot: *mut TupleTableSlot) -> bool;

    // access/heapam.h
    pub(super) fn heap_getnext(scan: TableScanDesc, direction: ScanDirection::Type) -> HeapTuple;
    pub(super) fn heap_fetch(
        table: Relation,
        snapshot: Snapshot,
        row: HeapTuple,
        buffer: *mut Buffer,
        keep_buffer: bool,
    ) -> bool;
    pub(super) fn heap_hot_search_buffer(
        place: ItemPointer,
        table: Relation,
        buffer: Buffer,
        snapshot: Snapshot,
        row: HeapTuple,
        all_dead: *mut bool,
        first_call: bool,
    ) -> bool;
    pub(super) fn heap_page_prune_opt(table: Relation, buffer: Buffer);
    pub(super) fn heap_multi_insert(
        table: Relation,
        slots: *mut *mut TupleTableSlot,
        count: c_int,
        command: CommandId,
        options: c_int,
        state: BulkInsertState,
    );
    pub(super) fn heap_lock_tuple(
        table: Relation,
        row: HeapTuple,
        command: CommandId,
        mode: LockTupleMode::Type,
        policy: LockWaitPolicy::Type,
        follow_updates: bool,
        buffer: *mut Buffer,
        failure: *mut TM_FailureData,
    ) -> TM_Result::Type;
    pub(super) fn heap_update(
        table: Relation,
        old: ItemPointer,
        new: HeapTuple,
        command: CommandId,
        crosscheck: Snapshot,
        wait: bool,
        failure: *mut TM_FailureData,
        lock_mode: *mut LockTupleMode::Type,
        #[cfg(not(feature = "pg15"))] indexes: *mut TU_UpdateIndexes::Type,
    ) -> TM_Result::Type;
    pub(super) fn simple_heap_update(
        table: Relation,
        old: ItemPointer,
        new: HeapTuple,
        #[cfg(not(feature = "pg15"))] indexes: *mut TU_UpdateIndexes::Type,
    );

    // access/htup_details.h
    pub(super) fn heap_copytuple(row: HeapTuple) -> HeapTuple;
    pub(super) fn heap_form_tuple(columns: TupleDesc, values: *mut Datum, nulls: *mut bool) -> HeapTuple;
    pub(super) fn heap_deform_tuple(row: HeapTuple, columns: TupleDesc, values: *mut Datum, nulls: *mut bool);

    // access/xact.h; only GetCurrentCommandId raises errors
    pub(super) fn GetCurrentCommandId(used: bool) -> CommandId;
    pub(super) fn GetCurrentSubTransactionId() -> SubTransactionId;
    pub(super) fn GetCurrentTransactionStartTimestamp() -> TimestampTz;

    // commands/sequence.h; the caller's rights are checked or not
    pub(super) fn nextval_internal(sequence: Oid, check_permissions: bool) -> i64;

    // executor/executor.h
    pub(super) fn ExecInsertIndexTuples(
        indexes: *mut ResultRelInfo,
        slot: *mut TupleTableSlot,
        state: *mut EState,
        update: bool,
        no_duplicate_errors: bool,
        conflict: *mut bool,
        arbiters: *mut List,
        #[cfg(not(feature = "pg15"))] only_summarizing: bool,
    ) -> *mut List;

    // executor/spi.h
    pub(super) fn SPI_execute_plan(
        plan: SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
        limit: c_long,
    ) -> c_int;
    pub(super) fn SPI_plan_get_cached_plan(plan: SPIPlanPtr) -> *mut CachedPlan;

    // executor/tuptable.h; slot_getsomeattrs_int raises an error only for a column that the slot has not
    pub(super) fn ExecStoreHeapTuple(row: HeapTuple, slot: *mut TupleTableSlot, free: bool) -> *mut TupleTableSlot;
    pub(super) fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, until: c_int);

    // fmgr.h
    pub(super) fn AggCheckCallContext(call: FunctionCallInfo, context: *mut MemoryContext) -> c_int;

    // miscadmin.h
    pub(super) fn ProcessInterrupts();

    // storage/bufmgr.h, storage/bufpage.h
    pub(super) fn LockBuffer(buffer: Buffer, mode: c_int);
    pub(super) fn ReleaseBuffer(buffer: Buffer);
    pub(super) fn PageGetHeapFreeSpace(page: *const u8) -> Size;

    // utils/builtins.h
    pub(super) fn cstring_to_text_with_len(bytes: *const c_char, length: c_int) -> *mut text;

    // utils/elog.h
    pub(super) fn ReThrowError(error: *mut ErrorData) -> !;

    // utils/palloc.h, utils/memutils.h
    pub(super) fn pfree(pointer: *mut c_void);
    pub(super) fn MemoryContextReset(context: MemoryContext);

    // utils/partcache.h
    pub(super) fn RelationGetPartitionQual(relation: Relation) -> *mut List;

    // utils/tuplestore.h
    pub(super) fn tuplestore_begin_heap(
        random_access: bool,
        across_transactions: bool,
        kilobytes: c_int,
    ) -> *mut Tuplestorestate;
    pub(super) fn tuplestore_putvalues(
        store: *mut Tuplestorestate,
        row: TupleDesc,
        values: *mut Datum,
        nulls: *mut bool,
    );
}
