//! Many rows of a table rewritten with a new value in one column, as an UPDATE would, but without the executor.

use pgrx::pg_sys;

use super::block_range::Spot;
use super::error::{Report, SqlState, passing_errors};
use super::heap;
use super::indexes::{Index, Indexes, spot_of};
use super::trigger::append;
use super::unguarded;

/// Rows being rewritten.
pub struct Rewriting {
    relation: pg_sys::Relation,
    columns: pg_sys::TupleDesc,
    /// The column that is written, counted from 0.
    column: usize,
    dropped: Vec<usize>,
    /// Whether nothing is wanted of rows but the column.
    may_append: bool,
    /// The row under way, unless its value could be appended.
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    /// The rows' new spots.
    moved: Vec<(i64, Spot)>,
    /// Those of nothing but the column are entered at the end, in their own order, the others row by row.
    indexes: Indexes,
    /// What is needed for one row.
    memory: pg_sys::MemoryContext,
}

impl Rewriting {
    /// Opens the indexes; none where one of them takes more than an entry for each row, or where rows could stay on their
    /// pages because no index has the column.
    ///
    /// # Safety
    /// The relation must be open for changing rows until the end, and not need the executor.
    pub unsafe fn begin(relation: pg_sys::Relation, column: i16) -> Option<Self> {
        // SAFETY: what is opened is closed in `end`; after an error PostgreSQL releases it with the transaction.
        unsafe {
            pg_sys::CheckCmdReplicaIdentity(relation, pg_sys::CmdType::CMD_UPDATE);
            let columns = (*relation).rd_att;
            let count = (*columns).natts as usize;
            let column = column as usize - 1;
            let memory = pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurrentMemoryContext,
                c"rows being rewritten".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let indexes = Indexes::open(relation);
            let keeps_apart = |index: &Index| index.is_tree() && index.columns.contains(&column);
            let takes_all = |index: &Index| index.is_ordinary() && index.condition().is_null();
            let possible = indexes.all.iter().all(takes_all) && indexes.all.iter().any(keeps_apart);
            let is_alone = indexes.all.iter().all(|index| index.columns == [column]);
            let described = pgrx::PgTupleDesc::from_pg_unchecked(columns);
            let is_dropped = |place: &usize| described.get(*place).is_some_and(|column| column.attisdropped);
            let dropped: Vec<usize> = (0..count).filter(is_dropped).collect();
            let rewriting = Rewriting {
                relation,
                columns,
                column,
                may_append: is_alone && dropped.is_empty(),
                dropped,
                values: vec![pg_sys::Datum::null(); count],
                nulls: vec![true; count],
                moved: Vec::new(),
                indexes,
                memory,
            };
            if possible {
                return Some(rewriting);
            }
            rewriting.end();
            None
        }
    }

    /// Rewrites those rows that a scan shows and that have a value to be written, both in order of their spots. Gives how
    /// many were written; others were changed or deleted meanwhile.
    ///
    /// # Safety
    /// The scan must be one of the relation, and just have begun.
    pub unsafe fn run(&mut self, scan: pg_sys::TableScanDesc, values: &[(Spot, i64)]) -> usize {
        self.moved.clear();
        self.moved.reserve(values.len());
        // SAFETY: one guard around all calls of PostgreSQL: an error jumps over nothing but what is called here, which owns
        // nothing to drop and cannot panic.
        unsafe {
            let caller = pg_sys::MemoryContextSwitchTo(self.memory);
            let in_time = passing_errors(|| self.rewrite(scan, values));
            self.moved.sort_unstable();
            passing_errors(|| self.enter_at_end());
            pg_sys::MemoryContextSwitchTo(caller);
            if !in_time && pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 {
                let message = "could not serialize access due to concurrent update";
                Report::new(SqlState::ERRCODE_T_R_SERIALIZATION_FAILURE, message).raise();
            }
        }
        self.moved.len()
    }

    /// Closes the indexes, and lets statements that follow see what was written.
    ///
    /// # Safety
    /// The relation must still be open.
    pub unsafe fn end(self) {
        // SAFETY: undoes what `begin` did.
        unsafe {
            self.indexes.close();
            pg_sys::MemoryContextDelete(self.memory);
            pg_sys::CommandCounterIncrement();
        }
    }

    /// Says whether nobody had changed any of the rows.
    ///
    /// # Safety
    /// As for `run`, under a guard, in memory of its own, and with room in `moved` for all values.
    unsafe fn rewrite(&mut self, scan: pg_sys::TableScanDesc, values: &[(Spot, i64)]) -> bool {
        let mut in_time = true;
        let mut rest = values.iter().peekable();
        // SAFETY: the row of a scan stays where it is until the next one is asked for; what is made of it lives until the
        // memory is reset.
        unsafe {
            let command = unguarded::GetCurrentCommandId(true);
            while let Some((wanted, _)) = rest.peek() {
                let row = unguarded::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                let Some(row) = row.as_mut() else { break };
                let spot = spot_of(&row.t_self);
                if spot < *wanted {
                    continue;
                }
                while rest.next_if(|(gone, _)| *gone < spot).is_some() {}
                let Some((_, value)) = rest.next_if(|(wanted, _)| *wanted == spot) else { continue };
                let changed = self.form(row, *value);
                let (result, _) = heap::update(self.relation, &mut row.t_self, changed, command);
                if result == pg_sys::TM_Result::TM_Ok {
                    let spot = spot_of(&(*changed).t_self);
                    let value_of = |place: usize| {
                        let known = self.values.get(place).zip(self.nulls.get(place));
                        known.filter(|(_, null)| !**null).map(|(value, _)| *value)
                    };
                    for index in self.indexes.all.iter().filter(|index| index.columns != [self.column]) {
                        index.enter(self.relation, value_of, spot, Some(self.column));
                    }
                    if self.moved.len() < self.moved.capacity() {
                        self.moved.push((*value, spot));
                    }
                } else {
                    in_time = false;
                }
                unguarded::MemoryContextReset(self.memory);
                pause(self.moved.len());
            }
        }
        in_time
    }

    /// A copy of a row with the new value.
    ///
    /// # Safety
    /// The row must be one of the relation.
    unsafe fn form(&mut self, row: &mut pg_sys::HeapTupleData, value: i64) -> pg_sys::HeapTuple {
        let (values, nulls) = (self.values.as_mut_ptr(), self.nulls.as_mut_ptr());
        // SAFETY: the arrays are as long as the table has columns, to which the places belong.
        unsafe {
            if let Some(appended) = self.may_append.then(|| append(row, self.column as i16 + 1, value)).flatten() {
                return appended;
            }
            unguarded::heap_deform_tuple(row, self.columns, values, nulls);
            for place in &self.dropped {
                *nulls.add(*place) = true;
            }
            *values.add(self.column) = pg_sys::Datum::from(value);
            *nulls.add(self.column) = false;
            unguarded::heap_form_tuple(self.columns, values, nulls)
        }
    }

    /// # Safety
    /// Under a guard, in memory of its own, when the rows are written.
    unsafe fn enter_at_end(&self) {
        for index in self.indexes.all.iter().filter(|index| index.columns == [self.column]) {
            for (place, (value, spot)) in self.moved.iter().enumerate() {
                // SAFETY: the index has the one column.
                unsafe {
                    index.enter(self.relation, |_| Some(pg_sys::Datum::from(*value)), *spot, Some(self.column));
                    unguarded::MemoryContextReset(self.memory);
                    pause(place);
                }
            }
        }
    }
}

/// To be called after each of many changes: now and then it ends where the user wishes so.
///
/// # Safety
/// Under a guard.
pub(super) unsafe fn pause(after: usize) {
    // SAFETY: the flag is one that signals set.
    unsafe {
        if (after + 1).is_multiple_of(1 << 12) && pg_sys::InterruptPending != 0 {
            unguarded::ProcessInterrupts();
        }
    }
}

/// Whether an UPDATE of the column has more to do than to write rows: triggers, constraints, rules and their like.
///
/// # Safety
/// The relation must be open.
pub unsafe fn needs_executor(relation: pg_sys::Relation, column: i16) -> bool {
    // SAFETY: the cache entry of an open relation is valid, and its arrays have as many entries as they say.
    unsafe {
        let (form, constraints) = (&*(*relation).rd_rel, (*(*relation).rd_att).constr.as_ref());
        let may_not =
            pg_sys::pg_class_aclcheck((*relation).rd_id, pg_sys::GetUserId(), RIGHTS) != pg_sys::AclResult::ACLCHECK_OK;
        let constrained = constraints.is_some_and(|known| known.num_check > 0 || known.has_generated_stored);
        let fires = (*relation).trigdesc.as_ref().is_some_and(|known| {
            let triggers = std::slice::from_raw_parts(known.triggers, known.numtriggers as usize);
            triggers.iter().any(|trigger| fires_for(trigger, column))
        });
        may_not
            || form.relkind as u8 != pg_sys::RELKIND_RELATION
            || !(*relation).rd_rules.is_null()
            || constrained
            || fires
            || form.relispartition && decides_partition(relation, column)
    }
}

/// What it takes to update a row and to read what it holds.
const RIGHTS: pg_sys::AclMode = (pg_sys::ACL_SELECT | pg_sys::ACL_UPDATE) as pg_sys::AclMode;

/// # Safety
/// The trigger must be one of an open relation.
unsafe fn fires_for(trigger: &pg_sys::Trigger, column: i16) -> bool {
    let updates = u32::from(trigger.tgtype as u16) & pg_sys::TRIGGER_TYPE_UPDATE != 0;
    // SAFETY: a trigger has as many columns as it says; without any it fires for all.
    let columns = unsafe {
        if trigger.tgnattr == 0 { &[] } else { std::slice::from_raw_parts(trigger.tgattr, trigger.tgnattr as usize) }
    };
    updates && (columns.is_empty() || columns.contains(&column))
}

/// Whether the column has a say in which partition a row belongs to.
///
/// # Safety
/// The relation must be an open partition.
unsafe fn decides_partition(relation: pg_sys::Relation, column: i16) -> bool {
    // SAFETY: the condition is one over the columns of the partition itself, which is relation number 1 in it.
    unsafe {
        let condition = passing_errors(|| unguarded::RelationGetPartitionQual(relation));
        let mut columns = std::ptr::null_mut();
        pg_sys::pull_varattnos(condition.cast(), 1, &mut columns);
        pg_sys::bms_is_member(i32::from(column) - pg_sys::FirstLowInvalidHeapAttributeNumber, columns)
    }
}
