//! A trigger being fired.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::call::Call;
use super::stored_row::StoredRow;

/// When and for what a trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// BEFORE INSERT, each row.
    BeforeInsertRow,
    /// AFTER INSERT, each row.
    AfterInsertRow,
    /// AFTER UPDATE, each row.
    AfterUpdateRow,
    /// BEFORE INSERT or UPDATE, each statement.
    BeforeStatement,
    /// AFTER, each statement.
    AfterStatement,
    /// Anything else.
    Other,
}

/// The row that a trigger fires for, or its statement.
pub struct Firing<'a> {
    data: &'a mut pg_sys::TriggerData,
}

impl<'a> Firing<'a> {
    /// The firing that a call is about; none where the function is called in another way.
    pub fn of(call: &mut Call<'a>) -> Option<Self> {
        let context = call.info().context;
        // SAFETY: the context of a trigger call is a TriggerData; its tag tells.
        unsafe {
            (!context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData)
                .then(|| Firing { data: &mut *context.cast::<pg_sys::TriggerData>() })
        }
    }

    /// When and for what it fires.
    pub fn moment(&self) -> Moment {
        let event = self.data.tg_event;
        let row = event & pg_sys::TRIGGER_EVENT_ROW != 0;
        let operation = event & pg_sys::TRIGGER_EVENT_OPMASK;
        let timing = event & pg_sys::TRIGGER_EVENT_TIMINGMASK;
        let before = timing == pg_sys::TRIGGER_EVENT_BEFORE;
        let after = timing == pg_sys::TRIGGER_EVENT_AFTER;
        match operation {
            pg_sys::TRIGGER_EVENT_INSERT if row && before => Moment::BeforeInsertRow,
            pg_sys::TRIGGER_EVENT_INSERT if row && after => Moment::AfterInsertRow,
            pg_sys::TRIGGER_EVENT_UPDATE if row && after => Moment::AfterUpdateRow,
            pg_sys::TRIGGER_EVENT_INSERT | pg_sys::TRIGGER_EVENT_UPDATE if !row && before => Moment::BeforeStatement,
            _ if !row && after => Moment::AfterStatement,
            _ => Moment::Other,
        }
    }

    /// Whether it fires for UPDATE.
    pub fn is_update(&self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE
    }

    /// The table or partition that it fires on.
    pub fn relation(&self) -> pg_sys::Oid {
        // SAFETY: the relation is open during the call.
        unsafe { (*self.data.tg_relation).rd_id }
    }

    /// The name of the table or partition.
    pub fn relation_name(&self) -> String {
        // SAFETY: the relation is open during the call; its name is terminated.
        unsafe {
            let name = &raw const (*(*self.data.tg_relation).rd_rel).relname.data;
            CStr::from_ptr(name.cast()).to_string_lossy().into_owned()
        }
    }

    /// The trigger's first argument as a number.
    pub fn number(&self) -> Option<i32> {
        // SAFETY: the trigger holds as many terminated arguments as it says.
        unsafe {
            let trigger = &*self.data.tg_trigger;
            (trigger.tgnargs > 0).then(|| number_of(CStr::from_ptr(*trigger.tgargs).to_bytes())).flatten()
        }
    }

    /// The row inserted, or the one before an update.
    pub fn row(&self) -> StoredRow<'_> {
        self.row_of(self.data.tg_trigtuple, self.data.tg_trigslot)
    }

    /// The row after an update.
    pub fn new_row(&self) -> StoredRow<'_> {
        self.row_of(self.data.tg_newtuple, self.data.tg_newslot)
    }

    fn row_of(&self, tuple: pg_sys::HeapTuple, slot: *mut pg_sys::TupleTableSlot) -> StoredRow<'_> {
        // SAFETY: row triggers get a tuple of the relation, and a slot that holds the same row, both valid during the call.
        unsafe { StoredRow::of(&*tuple, slot, self.relation()) }
    }

    /// The inserted row as the result of a BEFORE trigger.
    pub fn keep(&self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.data.tg_trigtuple)
    }

    /// The inserted row with a `bigint` column set, or NULL, as the result of a BEFORE trigger.
    pub fn keep_with(&self, column: i16, value: Option<i64>) -> pg_sys::Datum {
        let mut columns = [i32::from(column)];
        let mut values = [value.map_or(pg_sys::Datum::null(), pg_sys::Datum::from)];
        let mut nulls = [value.is_none()];
        // SAFETY: the column belongs to the relation and is a bigint: whoever resolved it checked that.
        unsafe {
            let appended = value.and_then(|value| append(self.data.tg_trigtuple, column, value));
            pg_sys::Datum::from(appended.unwrap_or_else(|| {
                pg_sys::heap_modify_tuple_by_cols(
                    self.data.tg_trigtuple,
                    (*self.data.tg_relation).rd_att,
                    1,
                    columns.as_mut_ptr(),
                    values.as_mut_ptr(),
                    nulls.as_mut_ptr(),
                )
            }))
        }
    }
}

/// A number without sign; each row asks, and most have one digit.
fn number_of(digits: &[u8]) -> Option<i32> {
    let digit = |digit: &u8| digit.is_ascii_digit().then(|| i32::from(digit - b'0'));
    digits.iter().try_fold(0_i32, |number, next| number.checked_mul(10)?.checked_add(digit(next)?))
}

/// A copy of a row whose last column, a `bigint`, was NULL and has a value now: nothing needs to be taken apart for that.
/// None where the column is not the last one, or had a value.
///
/// # Safety
/// The row must be a valid one.
pub(super) unsafe fn append(row: pg_sys::HeapTuple, column: i16, value: i64) -> Option<pg_sys::HeapTuple> {
    // SAFETY: NULLs have a bit in the header and take no room, so the value goes behind the last byte, aligned as its type
    // wants. The copy has room for both, and the gap between them is zero. A row without NULLs has no bits.
    unsafe {
        let header = (*row).t_data;
        let (count, start) =
            (((*header).t_infomask2 & pg_sys::HEAP_NATTS_MASK as u16) as usize, (*header).t_hoff as usize);
        if column as usize != count || u32::from((*header).t_infomask) & pg_sys::HEAP_HASNULL == 0 {
            return None;
        }
        let bits = std::slice::from_raw_parts((&raw const (*header).t_bits).cast::<u8>(), count.div_ceil(8));
        let is_set = |place: usize| bits[place / 8] & 1 << (place % 8) != 0;
        if is_set(count - 1) {
            return None;
        }
        let keeps_bits = !(0..count - 1).all(is_set);
        let new_start = if keeps_bits { start } else { BITS.next_multiple_of(align_of::<i64>()) };
        let length = (*row).t_len as usize - start;
        let place = length.next_multiple_of(align_of::<i64>());

        let copy = pg_sys::palloc(HEAD + new_start + place + size_of::<i64>()).cast::<pg_sys::HeapTupleData>();
        let bytes = copy.cast::<u8>().add(HEAD);
        let data = bytes.add(new_start);
        bytes.copy_from_nonoverlapping(header.cast(), new_start.min(start));
        data.copy_from_nonoverlapping(header.cast::<u8>().add(start), length);
        data.add(length).write_bytes(0, place - length);
        data.add(place).cast::<i64>().write(value);
        let header = bytes.cast::<pg_sys::HeapTupleHeaderData>();
        if keeps_bits {
            *bytes.add(BITS + (count - 1) / 8) |= 1 << ((count - 1) % 8);
        } else {
            (*header).t_infomask &= !(pg_sys::HEAP_HASNULL as u16);
            (*header).t_hoff = new_start as u8;
        }
        let t_len = (new_start + place + size_of::<i64>()) as u32;
        copy.write(pg_sys::HeapTupleData { t_len, t_data: header, ..*row });
        Some(copy)
    }
}

/// Where the bits that tell NULLs begin.
const BITS: usize = std::mem::offset_of!(pg_sys::HeapTupleHeaderData, t_bits);

/// What PostgreSQL keeps in front of a row in memory, aligned.
const HEAD: usize = size_of::<pg_sys::HeapTupleData>().next_multiple_of(align_of::<i64>());
