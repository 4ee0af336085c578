//! Many new rows of `sessionize.sessions` at once, without the executor: page by page into the table, then index by index
//! in the order of each, as a load does it.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::growth::{FixedColumns, starts_with_fixed_columns};
use super::sessions::column;

/// A session to be written, of which nothing is known but times and counts.
pub struct NewRow<'s> {
    /// The columns that come first.
    pub fixed: FixedColumns,
    /// `visitor`
    pub visitor: &'s str,
    /// `token`
    pub token: [u8; 16],
}

/// So many rows are written before they are entered into the indexes, which bounds the memory of their copies.
const AT_ONCE: usize = 1 << 13;

/// Writes rows; says no, and writes nothing, where somebody has added what only the executor knows to respect: triggers,
/// constraints, columns, rules, policies.
pub fn insert(table: pg_sys::Oid, rows: &[NewRow]) -> bool {
    // SAFETY: what is opened here is closed again; after an error PostgreSQL releases it with the transaction. Memory
    // is that of the executor state, which outlives everything made here.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let state = pg_sys::CreateExecutorState();
        let caller = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
        let indexes = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
        (*indexes).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(indexes, relation, 0, std::ptr::null_mut(), 0);
        pg_sys::ExecOpenIndices(indexes, false);
        let possible = is_as_made(relation) && entries(indexes).all(|(index, info)| is_ordinary(index, info));
        if possible {
            write(relation, indexes, state, rows);
        }
        pg_sys::ExecCloseIndices(indexes);
        pg_sys::MemoryContextSwitchTo(caller);
        pg_sys::FreeExecutorState(state);
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        if possible {
            pg_sys::CommandCounterIncrement();
        }
        possible
    }
}

/// # Safety
/// The table must be as it was made, and its indexes be open and ordinary.
unsafe fn write(
    relation: pg_sys::Relation,
    indexes: *mut pg_sys::ResultRelInfo,
    state: *mut pg_sys::EState,
    rows: &[NewRow],
) {
    // SAFETY: slots and rows have the layout of the table.
    unsafe {
        let columns = pg_sys::CreateTupleDescCopy((*relation).rd_att);
        let normal = text(b"normal");
        let mut slots: Vec<*mut pg_sys::TupleTableSlot> = (0..rows.len().min(AT_ONCE))
            .map(|_| pg_sys::MakeSingleTupleTableSlot(columns, &raw const pg_sys::TTSOpsHeapTuple))
            .collect();
        for rows in rows.chunks(AT_ONCE) {
            for (slot, row) in slots.iter().zip(rows) {
                pg_sys::ExecStoreHeapTuple(form(columns, row, normal), *slot, true);
            }
            let (count, command) = (rows.len() as i32, pg_sys::GetCurrentCommandId(true));
            pg_sys::heap_multi_insert(relation, slots.as_mut_ptr(), count, command, 0, std::ptr::null_mut());
            for (index, info) in entries(indexes) {
                let order = order_in(info, rows);
                enter(relation, index, info, state, order.iter().map(|place| slots[*place as usize]));
            }
        }
    }
}

/// # Safety
/// The columns must be those of the table as it was made.
unsafe fn form(columns: pg_sys::TupleDesc, row: &NewRow, normal: pg_sys::Datum) -> pg_sys::HeapTuple {
    let FixedColumns { id, first, last, closes_at, expires_at, opened_at, next_first, .. } = row.fixed;
    let FixedColumns { events, passive, late, app_id, last_day, .. } = row.fixed;
    let wide = [id, first, last, closes_at, expires_at, opened_at, next_first, events, passive, late];
    let mut values = [pg_sys::Datum::null(); column::COUNT];
    let mut nulls = [true; column::COUNT];
    for (value, known) in values.iter_mut().zip(wide) {
        *value = pg_sys::Datum::from(known);
    }
    // SAFETY: the texts and the row are copies in the current memory, the former no longer needed when the latter is made.
    unsafe {
        let (visitor, token) = (text(row.visitor.as_bytes()), text(&row.token));
        let others = [pg_sys::Datum::from(app_id), pg_sys::Datum::from(last_day), visitor, token, normal];
        values[wide.len()..][..others.len()].copy_from_slice(&others);
        values[column::RISK_SCORE - 1] = pg_sys::Datum::from(0_i16);
        nulls[..column::RISK_SCORE].fill(false);
        let formed = pg_sys::heap_form_tuple(columns, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::pfree(visitor.cast_mut_ptr());
        pg_sys::pfree(token.cast_mut_ptr());
        formed
    }
}

/// # Safety
/// The text lives as long as the current memory context.
unsafe fn text(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: the bytes are as many as said.
    unsafe { pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32)) }
}

/// The open indexes.
///
/// # Safety
/// The indexes must stay open as long as the result is used.
unsafe fn entries(
    indexes: *mut pg_sys::ResultRelInfo,
) -> impl Iterator<Item = (pg_sys::Relation, *mut pg_sys::IndexInfo)> {
    // SAFETY: both arrays have as many entries as said.
    unsafe {
        let (relations, infos) = ((*indexes).ri_IndexRelationDescs, (*indexes).ri_IndexRelationInfo);
        (0..(*indexes).ri_NumIndices as usize)
            .map(move |place| (*relations.add(place), *infos.add(place)))
            .filter(|(_, info)| (**info).ii_ReadyForInserts)
    }
}

/// The places of rows in the order that makes entering them into an index walk through it from left to right. Rows come
/// in order of their ids, which nearly is the order of time.
///
/// # Safety
/// The index must be open.
unsafe fn order_in(info: *mut pg_sys::IndexInfo, rows: &[NewRow]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    let row = |place: &u32| &rows[*place as usize];
    // SAFETY: the index is open.
    let info = unsafe { &*info };
    let keys = &info.ii_IndexAttrNumbers[..info.ii_NumIndexKeyAttrs as usize];
    match keys.iter().map(|key| *key as usize).find(|key| *key != column::APP_ID) {
        Some(column::VISITOR) => order.sort_unstable_by_key(|place| (row(place).visitor, row(place).fixed.first)),
        Some(column::TOKEN) => order.sort_unstable_by_key(|place| row(place).token),
        Some(column::STARTED_AT) => order.sort_unstable_by_key(|place| (row(place).fixed.first, row(place).fixed.id)),
        _ => {}
    }
    order
}

unsafe extern "C-unwind" {
    /// Declared in catalog/index.h, access/genam.h and utils/memutils.h: here without a guard, for one stands around all
    /// rows of an index.
    fn FormIndexDatum(
        info: *mut pg_sys::IndexInfo,
        slot: *mut pg_sys::TupleTableSlot,
        state: *mut pg_sys::EState,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
    );
    fn index_insert(
        index: pg_sys::Relation,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
        row: pg_sys::ItemPointer,
        table: pg_sys::Relation,
        check: pg_sys::IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut pg_sys::IndexInfo,
    ) -> bool;
    fn MemoryContextReset(context: pg_sys::MemoryContext);
}

/// Enters rows into an index.
///
/// # Safety
/// The index must belong to the relation, both open for writing, and the slots hold stored rows of it.
unsafe fn enter(
    relation: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    state: *mut pg_sys::EState,
    slots: impl Iterator<Item = *mut pg_sys::TupleTableSlot>,
) {
    // SAFETY: this is what the executor does for one row and all indexes; what a row needs is forgotten before the next.
    // Nothing inside the guard has to be dropped.
    unsafe {
        let predicate = (*info).ii_Predicate;
        if !predicate.is_null() && (*info).ii_PredicateState.is_null() {
            (*info).ii_PredicateState = pg_sys::ExecPrepareQual(predicate, state);
        }
        let one_for_all = asks_for_what_is_alike(predicate);
        if (*state).es_per_tuple_exprcontext.is_null() {
            pg_sys::MakePerTupleExprContext(state);
        }
        let context = (*state).es_per_tuple_exprcontext;
        let unique = (*(*index).rd_index).indisunique;
        let check =
            if unique { pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES } else { pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO };
        let mut values = [pg_sys::Datum::null(); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
        let caller = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            for slot in slots {
                (*context).ecxt_scantuple = slot;
                if holds((*info).ii_PredicateState, context) {
                    FormIndexDatum(info, slot, state, values.as_mut_ptr(), nulls.as_mut_ptr());
                    let row = &raw mut (*slot).tts_tid;
                    index_insert(index, values.as_mut_ptr(), nulls.as_mut_ptr(), row, relation, check, false, info);
                } else if one_for_all {
                    break;
                }
                MemoryContextReset((*context).ecxt_per_tuple_memory);
            }
        });
        pg_sys::MemoryContextSwitchTo(caller);
    }
}

/// Whether a row is one that a partial index wants.
///
/// # Safety
/// The predicate must be none or one prepared for the row that the context shows, and a guard stand around the call.
unsafe fn holds(predicate: *mut pg_sys::ExprState, context: *mut pg_sys::ExprContext) -> bool {
    // SAFETY: an expression says itself how it is evaluated; a condition is never NULL.
    unsafe {
        let Some(evaluate) = predicate.as_ref().and_then(|predicate| predicate.evalfunc) else { return true };
        let mut null = false;
        evaluate(predicate, context, &mut null).value() & 0xff != 0
    }
}

/// Whether a condition asks for nothing but columns that have the same value in all rows written here: those behind the
/// token. Most partial indexes want no row at all, and the first one tells.
///
/// # Safety
/// The predicate must be that of an open index, or none.
unsafe fn asks_for_what_is_alike(predicate: *mut pg_sys::List) -> bool {
    // SAFETY: the caller vouches for the predicate, whose columns are all of one table, numbered 1.
    unsafe {
        let (mut columns, mut member) = (std::ptr::null_mut(), -1);
        pg_sys::pull_varattnos(predicate.cast(), 1, &mut columns);
        loop {
            member = pg_sys::bms_next_member(columns, member);
            if member < 0 {
                return true;
            }
            if member + pg_sys::FirstLowInvalidHeapAttributeNumber <= column::TOKEN as i32 {
                return false;
            }
        }
    }
}

/// Whether a table has no more than sql/schema.sql gave it, apart from indexes.
///
/// # Safety
/// The relation must be open.
unsafe fn is_as_made(relation: pg_sys::Relation) -> bool {
    // SAFETY: the cache entry of an open relation is valid, and its arrays have as many entries as they say.
    unsafe {
        let (form, columns) = (&*(*relation).rd_rel, (*relation).rd_att);
        let constrained =
            (*columns).constr.as_ref().is_some_and(|known| known.num_check > 0 || known.has_generated_stored);
        let fires = (*relation).trigdesc.as_ref().is_some_and(|known| {
            std::slice::from_raw_parts(known.triggers, known.numtriggers as usize).iter().any(|trigger| {
                u32::from(trigger.tgtype as u16) & pg_sys::TRIGGER_TYPE_INSERT != 0
                    && CStr::from_ptr(trigger.tgname) != NOTES_DAYS
            })
        });
        form.relam == pg_sys::HEAP_TABLE_AM_OID
            && !form.relrowsecurity
            && (*relation).rd_rules.is_null()
            && (*columns).natts as usize == column::COUNT
            && starts_with_fixed_columns(columns)
            && !constrained
            && !fires
    }
}

/// The one trigger that need not fire: whoever settles events notes their days himself.
const NOTES_DAYS: &CStr = c"note_inserted_day";

/// Whether nothing about an index has to wait for the end of the transaction.
///
/// # Safety
/// The index must be open.
unsafe fn is_ordinary(index: pg_sys::Relation, info: *mut pg_sys::IndexInfo) -> bool {
    // SAFETY: the caller vouches for the index.
    unsafe { (*info).ii_ExclusionOps.is_null() && (*(*index).rd_index).indimmediate }
}
