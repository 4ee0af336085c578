//! Many new rows of one of the extension's tables at once, without the executor: page by page into the table, then index
//! by index in the order of each, as a load does it.

use std::ops::Range;

use pgrx::pg_sys;

use super::block_range::Spot;
use super::error::passing_errors;
use super::indexes::{Index, Indexes, spot_of};
use super::rewriting::pause;
use super::unguarded;

/// A row to be written.
pub(super) trait NewRow: Sized {
    /// How many columns the table has.
    const COLUMNS: usize;
    /// The columns, counted from 0, in which rows that are written together can differ.
    const DIFFERENT: Range<usize>;

    /// A column, counted from 0; none for NULL.
    ///
    /// # Safety
    /// Under a guard; texts live as long as the current memory context.
    unsafe fn value(&self, place: usize) -> Option<pg_sys::Datum>;

    /// Puts places of rows into an order in which entering them walks through an index of some columns from left to right.
    /// They come in order of the rows, each with a number that may be used.
    fn sort(rows: &[Self], columns: &[usize], order: &mut [(u64, u32)]);
}

/// So many rows are written by one call of PostgreSQL's.
const PER_CALL: usize = 1 << 10;

/// Writes rows; says no, and writes nothing, where the table is not as it was made or its indexes ask for more than an entry
/// for each row.
pub(super) fn insert<R: NewRow>(
    table: pg_sys::Oid,
    rows: &[R],
    is_as_made: impl FnOnce(pg_sys::Relation) -> bool,
) -> bool {
    // SAFETY: what is opened here is closed again; after an error PostgreSQL releases it with the transaction.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
        let indexes = Indexes::open(relation);
        let possible = is_as_made(relation) && indexes.all.iter().all(Index::is_ordinary);
        if possible {
            let state = pg_sys::CreateExecutorState();
            let memory = (*pg_sys::MakePerTupleExprContext(state)).ecxt_per_tuple_memory;
            let caller = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
            let mut targets: Vec<Target> =
                indexes.all.iter().map(|index| Target::new(index, state, R::DIFFERENT)).collect();
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
unsafe fn store<R: NewRow>(
    relation: pg_sys::Relation,
    state: *mut pg_sys::EState,
    targets: &mut [Target],
    rows: &[R],
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
                    unguarded::ExecStoreHeapTuple(form(columns, row, memory), *slot, true);
                }
                unguarded::heap_multi_insert(relation, slots.as_mut_ptr(), count, command, 0, std::ptr::null_mut());
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
unsafe fn form<R: NewRow>(columns: pg_sys::TupleDesc, row: &R, memory: pg_sys::MemoryContext) -> pg_sys::HeapTuple {
    let mut values = [pg_sys::Datum::null(); MOST_COLUMNS];
    let mut nulls = [true; MOST_COLUMNS];
    for (place, (value, null)) in values.iter_mut().zip(&mut nulls).enumerate().take(R::COLUMNS) {
        // SAFETY: the caller vouches for the memory.
        if let Some(known) = unsafe { row.value(place) } {
            (*value, *null) = (known, false);
        }
    }
    // SAFETY: there are as many values as columns.
    unsafe {
        let texts = pg_sys::MemoryContextSwitchTo(memory);
        let formed = unguarded::heap_form_tuple(columns, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::MemoryContextSwitchTo(texts);
        formed
    }
}

/// No table of the extension has more columns.
const MOST_COLUMNS: usize = 32;

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

impl<'i> Target<'i> {
    /// # Safety
    /// The index must stay open, and the state live, as long as the result is in use.
    unsafe fn new(index: &'i Index, state: *mut pg_sys::EState, different: Range<usize>) -> Self {
        let condition = index.condition();
        // SAFETY: the condition is one over the columns of the table, which is relation number 1 in it.
        unsafe {
            let mut columns = std::ptr::null_mut();
            pg_sys::pull_varattnos(condition.cast(), 1, &mut columns);
            let looks_at =
                |number| pg_sys::bms_is_member(number as i32 - pg_sys::FirstLowInvalidHeapAttributeNumber, columns);
            // 0 stands for all columns.
            let decides_alike = !looks_at(0) && !different.into_iter().any(|place| looks_at(place + 1));
            let condition =
                if condition.is_null() { std::ptr::null_mut() } else { pg_sys::ExecPrepareQual(condition, state) };
            Target { index, condition, decides_alike, wants: Vec::new() }
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

    /// The places of the rows that belong into the index, in its order.
    fn order_of<R: NewRow>(&self, rows: &[R]) -> Vec<u32> {
        let mut order: Vec<(u64, u32)> = if self.condition.is_null() {
            (0..rows.len() as u32).map(|place| (0, place)).collect()
        } else {
            self.wants.iter().zip(0..).filter(|(wants, _)| **wants).map(|(_, place)| (0, place)).collect()
        };
        R::sort(rows, &self.index.columns, &mut order);
        order.into_iter().map(|(_, place)| place).collect()
    }

    /// Enters rows.
    ///
    /// # Safety
    /// Under a guard, with that memory as the current one; the rows must be stored in those spots.
    unsafe fn enter<R: NewRow>(
        &self,
        relation: pg_sys::Relation,
        memory: pg_sys::MemoryContext,
        rows: &[R],
        spots: &[Spot],
        order: &[u32],
    ) {
        for (count, place) in order.iter().enumerate() {
            let place = *place as usize;
            if let (Some(row), Some(spot)) = (rows.get(place), spots.get(place)) {
                // SAFETY: the caller vouches for the rows; what one needs is forgotten before the next.
                unsafe {
                    self.index.enter(relation, |column| row.value(column), *spot, None);
                    unguarded::MemoryContextReset(memory);
                    pause(count);
                }
            }
        }
    }
}

/// The first bytes of a text as a number that is in the same order: most comparisons end with them, and so they lie side by
/// side.
pub(super) fn first_bytes(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(text).for_each(|(byte, known)| *byte = *known);
    u64::from_be_bytes(bytes)
}

/// Whether rows of a table are stored as PostgreSQL itself does, and nobody has given it constraints, rules or policies.
///
/// # Safety
/// The relation must be open.
pub(super) unsafe fn is_plain(relation: pg_sys::Relation) -> bool {
    // SAFETY: the cache entry of an open relation is valid.
    unsafe {
        let form = &*(*relation).rd_rel;
        let constraints = (*(*relation).rd_att).constr.as_ref();
        let constrained = constraints.is_some_and(|known| known.num_check > 0 || known.has_generated_stored);
        form.relam == pg_sys::HEAP_TABLE_AM_OID
            && !form.relrowsecurity
            && (*relation).rd_rules.is_null()
            && !constrained
    }
}
