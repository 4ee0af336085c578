//! Many new rows of `sessionize.sessions` at once, without the executor: page by page into the table, then index by index
//! in the order of each, as a load does it.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::block_range::Spot;
use super::error::passing_errors;
use super::growth::{FixedColumns, starts_with_fixed_columns};
use super::indexes::{Index, Indexes, spot_of};
use super::rewriting::pause;
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

/// So many rows are written by one call of PostgreSQL's.
const PER_CALL: usize = 1 << 10;

/// Writes rows, which come in order of their ids; says no, and writes nothing, where somebody has added what only the
/// executor knows to respect: triggers, constraints, columns, rules, policies, indexes of expressions.
pub fn insert(table: pg_sys::Oid, rows: &[NewRow]) -> bool {
    // SAFETY: what is opened here is closed again; after an error PostgreSQL releases it with the transaction.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let indexes = Indexes::open(relation);
        let possible = is_as_made(relation, Operation::Insert) && indexes.all.iter().all(Index::is_ordinary);
        if possible {
            let state = pg_sys::CreateExecutorState();
            let memory = (*pg_sys::MakePerTupleExprContext(state)).ecxt_per_tuple_memory;
            let caller = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
            let mut targets: Vec<Target> = indexes.all.iter().map(|index| Target::new(index, state)).collect();
            pg_sys::MemoryContextSwitchTo(memory);
            let spots = store(relation, state, &mut targets, rows);
            for target in &targets {
                let order = target.order_of(rows);
                // One guard for all rows, and so below: an error jumps over nothing that has to be dropped.
                passing_errors(|| target.enter(relation, memory, rows, &spots, &order));
            }
            pg_sys::MemoryContextSwitchTo(caller);
            pg_sys::FreeExecutorState(state);
        }
        indexes.close();
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        if possible {
            pg_sys::CommandCounterIncrement();
        }
        possible
    }
}

/// Puts rows into the table, and gives their spots; tells partial indexes which rows are theirs.
///
/// # Safety
/// The table must be as it was made, and the state's memory for single rows be the current one.
unsafe fn store(
    relation: pg_sys::Relation,
    state: *mut pg_sys::EState,
    targets: &mut [Target],
    rows: &[NewRow],
) -> Vec<Spot> {
    let mut spots = Vec::with_capacity(rows.len());
    // SAFETY: slots and rows have the layout of the table; each slot owns its row, and frees it for the next.
    unsafe {
        let (memory, context) = ((*state).es_query_cxt, (*state).es_per_tuple_exprcontext);
        let columns = (*relation).rd_att;
        pg_sys::MemoryContextSwitchTo(memory);
        let mut slots: Vec<*mut pg_sys::TupleTableSlot> = (0..rows.len().min(PER_CALL))
            .map(|_| pg_sys::MakeSingleTupleTableSlot(columns, &raw const pg_sys::TTSOpsHeapTuple))
            .collect();
        pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        targets.iter_mut().for_each(|target| target.wants.clear());
        for rows in rows.chunks(PER_CALL) {
            let (count, command) = (rows.len() as i32, pg_sys::GetCurrentCommandId(true));
            targets.iter_mut().for_each(|target| target.make_room(rows.len()));
            passing_errors(|| {
                for (slot, row) in slots.iter().zip(rows) {
                    raw::ExecStoreHeapTuple(form(columns, row, memory), *slot, true);
                }
                raw::heap_multi_insert(relation, slots.as_mut_ptr(), count, command, 0, std::ptr::null_mut());
                for target in targets.iter_mut() {
                    target.judge(context, slots.get(..rows.len()).unwrap_or_default());
                }
            });
            spots.extend(slots[..rows.len()].iter().map(|slot| spot_of(&(**slot).tts_tid)));
            pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        }
        slots.into_iter().for_each(|slot| pg_sys::ExecDropSingleTupleTableSlot(slot));
    }
    spots
}

/// Makes a row in some memory.
///
/// # Safety
/// Under a guard, in memory that is soon forgotten; the columns must be those of the table as it was made.
unsafe fn form(columns: pg_sys::TupleDesc, row: &NewRow, memory: pg_sys::MemoryContext) -> pg_sys::HeapTuple {
    let mut values = [pg_sys::Datum::null(); column::COUNT];
    let mut nulls = [true; column::COUNT];
    for (place, (value, null)) in values.iter_mut().zip(&mut nulls).enumerate() {
        // SAFETY: the caller vouches for the memory.
        if let Some(known) = unsafe { row.value(place) } {
            (*value, *null) = (known, false);
        }
    }
    // SAFETY: there are as many values as columns.
    unsafe {
        let texts = pg_sys::MemoryContextSwitchTo(memory);
        let formed = raw::heap_form_tuple(columns, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::MemoryContextSwitchTo(texts);
        formed
    }
}

impl NewRow<'_> {
    /// A column, counted from 0, that is not NULL in a new session.
    ///
    /// # Safety
    /// Under a guard; texts live as long as the current memory context.
    unsafe fn value(&self, place: usize) -> Option<pg_sys::Datum> {
        let text = |bytes: &[u8]| {
            // SAFETY: the bytes are as many as said.
            unsafe { pg_sys::Datum::from(raw::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32)) }
        };
        match place + 1 {
            column::VISITOR => Some(text(self.visitor.as_bytes())),
            column::TOKEN => Some(text(&self.token)),
            column::RISK => Some(text(b"normal")),
            column::RISK_SCORE => Some(pg_sys::Datum::from(0_i16)),
            _ => self.fixed.column(place).map(pg_sys::Datum::from),
        }
    }
}

/// An index to be entered.
struct Target<'i> {
    index: &'i Index,
    /// What an index of some rows asks of them; null where it is one of all.
    condition: *mut pg_sys::ExprState,
    /// Whether the condition looks at nothing in which new sessions differ.
    decides_alike: bool,
    /// Whether it wants each of the rows, as far as they were judged; empty where there is no condition.
    wants: Vec<bool>,
}

/// The columns in which new sessions of an application differ; 0 stands for all of them.
const DIFFERENT: std::ops::RangeInclusive<usize> = 0..=column::TOKEN;

impl<'i> Target<'i> {
    /// # Safety
    /// The index must stay open, and the state live, as long as the result is in use.
    unsafe fn new(index: &'i Index, state: *mut pg_sys::EState) -> Self {
        let condition = index.condition();
        // SAFETY: the condition is one over the columns of the table, which is relation number 1 in it.
        unsafe {
            let mut columns = std::ptr::null_mut();
            pg_sys::pull_varattnos(condition.cast(), 1, &mut columns);
            let looks_at =
                |column| pg_sys::bms_is_member(column as i32 - pg_sys::FirstLowInvalidHeapAttributeNumber, columns);
            let condition =
                if condition.is_null() { std::ptr::null_mut() } else { pg_sys::ExecPrepareQual(condition, state) };
            Target { index, condition, decides_alike: !DIFFERENT.into_iter().any(looks_at), wants: Vec::new() }
        }
    }

    fn make_room(&mut self, count: usize) {
        if !self.condition.is_null() {
            self.wants.reserve(count);
        }
    }

    /// Notes which of some more rows the index wants.
    ///
    /// # Safety
    /// Under a guard, with room in `wants` for all of them; the slots must hold rows of the table.
    unsafe fn judge(&mut self, context: *mut pg_sys::ExprContext, slots: &[*mut pg_sys::TupleTableSlot]) {
        // SAFETY: an expression says itself how it is evaluated; a condition is never NULL.
        unsafe {
            let Some(evaluate) = self.condition.as_ref().and_then(|condition| condition.evalfunc) else { return };
            for slot in slots {
                let wants = match self.wants.first() {
                    Some(first) if self.decides_alike => *first,
                    _ => {
                        let mut null = false;
                        (*context).ecxt_scantuple = *slot;
                        evaluate(self.condition, context, &mut null).value() & 0xff != 0
                    }
                };
                if self.wants.len() < self.wants.capacity() {
                    self.wants.push(wants);
                }
            }
        }
    }

    /// The places of the rows that belong into the index, in the order that makes entering them walk through it from left
    /// to right. Rows come in order of their ids, which nearly is the order of time.
    fn order_of(&self, rows: &[NewRow]) -> Vec<u32> {
        let mut order: Vec<(u64, u32)> = if self.condition.is_null() {
            (0..rows.len() as u32).map(|place| (0, place)).collect()
        } else {
            self.wants.iter().zip(0..).filter(|(wants, _)| **wants).map(|(_, place)| (0, place)).collect()
        };
        let row = |place: &u32| &rows[*place as usize];
        // Most comparisons end with the first bytes, which lie side by side here.
        match self.index.columns.iter().map(|place| place + 1).find(|number| *number != column::APP_ID) {
            Some(column::VISITOR) => {
                order.iter_mut().for_each(|(begins, place)| *begins = first_bytes(row(place).visitor.as_bytes()));
                let rest = |place: &u32| (row(place).visitor, row(place).fixed.first);
                order
                    .sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| rest(&one.1).cmp(&rest(&other.1))));
            }
            Some(column::TOKEN) => {
                order.iter_mut().for_each(|(begins, place)| *begins = first_bytes(&row(place).token));
                order.sort_unstable();
            }
            Some(column::STARTED_AT) => {
                order.sort_unstable_by_key(|(_, place)| (row(place).fixed.first, *place));
            }
            _ => {}
        }
        order.into_iter().map(|(_, place)| place).collect()
    }

    /// Enters rows.
    ///
    /// # Safety
    /// Under a guard, with that memory as the current one; the rows must be stored in those spots.
    unsafe fn enter(
        &self,
        relation: pg_sys::Relation,
        memory: pg_sys::MemoryContext,
        rows: &[NewRow],
        spots: &[Spot],
        order: &[u32],
    ) {
        for (count, place) in order.iter().enumerate() {
            let place = *place as usize;
            if let (Some(row), Some(spot)) = (rows.get(place), spots.get(place)) {
                // SAFETY: the caller vouches for the rows; what one needs is forgotten before the next.
                unsafe {
                    self.index.enter(relation, |column| row.value(column), *spot, None);
                    raw::MemoryContextReset(memory);
                    pause(count);
                }
            }
        }
    }
}

/// The first bytes of a text as a number that is in the same order.
fn first_bytes(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(text).for_each(|(byte, known)| *byte = *known);
    u64::from_be_bytes(bytes)
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
        let (form, columns) = (&*(*relation).rd_rel, (*relation).rd_att);
        let constrained =
            (*columns).constr.as_ref().is_some_and(|known| known.num_check > 0 || known.has_generated_stored);
        let fires = (*relation).trigdesc.as_ref().is_some_and(|known| {
            let triggers = std::slice::from_raw_parts(known.triggers, known.numtriggers as usize);
            triggers.iter().any(|trigger| operation.fires(trigger))
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

/// PostgreSQL's functions without the guard that pgrx puts around each of them.
mod raw {
    use pgrx::pg_sys::*;

    unsafe extern "C-unwind" {
        pub fn cstring_to_text_with_len(bytes: *const std::ffi::c_char, length: std::ffi::c_int) -> *mut text;
        pub fn heap_form_tuple(columns: TupleDesc, values: *mut Datum, nulls: *mut bool) -> HeapTuple;
        pub fn ExecStoreHeapTuple(row: HeapTuple, slot: *mut TupleTableSlot, free: bool) -> *mut TupleTableSlot;
        pub fn MemoryContextReset(context: MemoryContext);
        pub fn heap_multi_insert(
            table: Relation,
            slots: *mut *mut TupleTableSlot,
            count: std::ffi::c_int,
            command: CommandId,
            options: std::ffi::c_int,
            state: BulkInsertState,
        );
    }
}
