//! The indexes of a table, entered without the executor.

use pgrx::pg_sys;

use super::block_range::Spot;
use super::unguarded;

/// The open indexes of a table.
pub struct Indexes {
    opened: *mut pg_sys::ResultRelInfo,
    /// The indexes.
    pub all: Vec<Index>,
}

/// An index, and which columns of the table it has.
pub struct Index {
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
    check: pg_sys::IndexUniqueCheck::Type,
    /// Counted from 0. For an expression or a column of the system it is a place that no row has.
    pub columns: Vec<usize>,
}

impl Indexes {
    /// Opens the indexes.
    ///
    /// # Safety
    /// The relation must be open for changing rows until the indexes are closed.
    pub unsafe fn open(relation: pg_sys::Relation) -> Self {
        // SAFETY: closed in `close`; after an error PostgreSQL releases them with the transaction. Both arrays have as many
        // entries as said.
        unsafe {
            let opened = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            (*opened).type_ = pg_sys::NodeTag::T_ResultRelInfo;
            pg_sys::InitResultRelInfo(opened, relation, 0, std::ptr::null_mut(), 0);
            pg_sys::ExecOpenIndices(opened, false);
            let (relations, infos) = ((*opened).ri_IndexRelationDescs, (*opened).ri_IndexRelationInfo);
            let all = (0..(*opened).ri_NumIndices as usize)
                .map(|place| (*relations.add(place), *infos.add(place)))
                .filter(|(_, info)| (**info).ii_ReadyForInserts)
                .map(|(index, info)| Index::of(index, info))
                .collect();
            Indexes { opened, all }
        }
    }

    /// Enters a new version of a row into all of the indexes, or only into those that sum up pages, as the executor does.
    ///
    /// # Safety
    /// Under a guard. The row must be stored, the slot fit the table, and the executor state have no range table: then
    /// PostgreSQL does not ask there which columns were updated.
    pub unsafe fn enter_version(
        &self,
        row: pg_sys::HeapTuple,
        slot: *mut pg_sys::TupleTableSlot,
        state: *mut pg_sys::EState,
        _only_summaries: bool,
    ) {
        let (conflict, arbiters) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the caller vouches for the row, which outlives its stay in the slot.
        unsafe {
            unguarded::ExecStoreHeapTuple(row, slot, false);
            unguarded::ExecInsertIndexTuples(
                self.opened,
                slot,
                state,
                false,
                false,
                conflict,
                arbiters,
                #[cfg(not(feature = "pg15"))]
                _only_summaries,
            );
        }
    }

    /// # Safety
    /// The relation must still be open.
    pub unsafe fn close(self) {
        // SAFETY: undoes what `open` did.
        unsafe {
            pg_sys::ExecCloseIndices(self.opened);
            pg_sys::pfree(self.opened.cast());
        }
    }
}

impl Index {
    /// # Safety
    /// The index must stay open as long as the result is in use.
    unsafe fn of(index: pg_sys::Relation, info: *mut pg_sys::IndexInfo) -> Self {
        // SAFETY: the caller vouches for the index, which has as many columns as it says.
        unsafe {
            let numbers = &(&(*info).ii_IndexAttrNumbers)[..(*info).ii_NumIndexAttrs as usize];
            let columns = numbers.iter().map(|number| (*number as usize).wrapping_sub(1)).collect();
            let check = if (*(*index).rd_index).indisunique {
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES
            } else {
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
            };
            Index { index, info, check, columns }
        }
    }

    /// The condition of an index of some rows only; null where it is one of all.
    pub fn condition(&self) -> *mut pg_sys::List {
        // SAFETY: the index is open.
        unsafe { (*self.info).ii_Predicate }
    }

    /// Whether a row has one entry, made of its columns, that need not be looked at again.
    pub fn is_ordinary(&self) -> bool {
        // SAFETY: the index is open.
        unsafe {
            let (info, form) = (&*self.info, &*(*self.index).rd_index);
            info.ii_ExclusionOps.is_null()
                && form.indimmediate
                && self.columns.iter().all(|place| *place < pg_sys::MaxHeapAttributeNumber as usize)
        }
    }

    /// Whether it is a B-tree.
    pub fn is_tree(&self) -> bool {
        // SAFETY: the index is open.
        unsafe { (*(*self.index).rd_rel).relam == pg_sys::BTREE_AM_OID }
    }

    /// Enters a row, of which `changed` is the only column that is not as it was, if there is one.
    ///
    /// # Safety
    /// The index must be ordinary and want the row. Under a guard, in memory that is soon forgotten; the row must be stored in that spot.
    pub unsafe fn enter(
        &self,
        table: pg_sys::Relation,
        value: impl Fn(usize) -> Option<pg_sys::Datum>,
        spot: Spot,
        changed: Option<usize>,
    ) {
        let mut values = [pg_sys::Datum::null(); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [true; pg_sys::INDEX_MAX_KEYS as usize];
        for (column, (entry, null)) in self.columns.iter().zip(values.iter_mut().zip(&mut nulls)) {
            if let Some(value) = value(*column) {
                (*entry, *null) = (value, false);
            }
        }
        let (values, nulls, mut pointer) = (values.as_mut_ptr(), nulls.as_mut_ptr(), pointer_to(spot));
        let unchanged = changed.is_some_and(|changed| !self.columns.contains(&changed));
        // SAFETY: the caller vouches for the row; there are as many values as the index has columns.
        unsafe {
            unguarded::index_insert(self.index, values, nulls, &mut pointer, table, self.check, unchanged, self.info)
        };
    }
}

/// Where a pointer of PostgreSQL's points.
pub fn spot_of(pointer: &pg_sys::ItemPointerData) -> Spot {
    let block = pointer.ip_blkid;
    ((u32::from(block.bi_hi) << 16) | u32::from(block.bi_lo), pointer.ip_posid)
}

/// The same the other way round.
pub fn pointer_to((block, line): Spot) -> pg_sys::ItemPointerData {
    let block = pg_sys::BlockIdData { bi_hi: (block >> 16) as u16, bi_lo: block as u16 };
    pg_sys::ItemPointerData { ip_blkid: block, ip_posid: line }
}
