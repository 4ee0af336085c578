//! A row of a table as it is stored, read column by column.

use std::ffi::{CStr, CString, c_int};

use pgrx::pg_sys;
use sessionize_core::Instant;

use super::call::varlena_bytes;
use super::unguarded;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its number.
    pub number: i16,
    /// Its type.
    pub type_oid: pg_sys::Oid,
    width: Width,
    /// Where values begin in rows that have a value in each column before, if all of these have a fixed width.
    offset: Option<usize>,
}

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    Two,
    Four,
    Eight,
    /// The datum points to it.
    Other,
}

impl Column {
    /// A column by its name; none where the table has no such column.
    pub fn find(relation: pg_sys::Oid, name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: a catalog look-up by a terminated name.
        let number = unsafe { pg_sys::get_attnum(relation, name.as_ptr()) };
        let mut end = Some(0);
        for before in 1..number {
            end = Shape::of(relation, before)?.end(end);
        }
        let shape = (number > 0).then(|| Shape::of(relation, number)).flatten()?;
        Some(Column { number, type_oid: shape.type_oid, width: shape.width(), offset: shape.start(end) })
    }

    /// Reads a value that is stored in some place.
    ///
    /// # Safety
    /// There must be a value of the column, aligned as its type wants.
    #[inline]
    unsafe fn read(&self, place: *const u8) -> pg_sys::Datum {
        // SAFETY: the caller vouches for the place.
        unsafe {
            match self.width {
                Width::One => pg_sys::Datum::from(*place.cast::<i8>()),
                Width::Two => pg_sys::Datum::from(*place.cast::<i16>()),
                Width::Four => pg_sys::Datum::from(*place.cast::<i32>()),
                Width::Eight => pg_sys::Datum::from(*place.cast::<i64>()),
                Width::Other => pg_sys::Datum::from(place),
            }
        }
    }
}

/// How a column lies in rows.
struct Shape {
    type_oid: pg_sys::Oid,
    /// Negative where values differ in length.
    length: i16,
    is_by_value: bool,
    alignment: usize,
}

impl Shape {
    fn of(relation: pg_sys::Oid, number: i16) -> Option<Self> {
        // SAFETY: the entry of the cache is one of pg_attribute, and is read before it is released.
        unsafe {
            let cache = pg_sys::SysCacheIdentifier::ATTNUM as c_int;
            let found = pg_sys::SearchSysCache2(cache, pg_sys::Datum::from(relation), pg_sys::Datum::from(number));
            let row = found.as_ref()?.t_data;
            let column = &*row.cast::<u8>().add(usize::from((*row).t_hoff)).cast::<pg_sys::FormData_pg_attribute>();
            let alignment = match column.attalign as u8 {
                b'd' => align_of::<i64>(),
                b'i' => align_of::<i32>(),
                b's' => align_of::<i16>(),
                _ => 1,
            };
            let (type_oid, length, is_by_value) = (column.atttypid, column.attlen, column.attbyval);
            pg_sys::ReleaseSysCache(found);
            Some(Shape { type_oid, length, is_by_value, alignment })
        }
    }

    fn width(&self) -> Width {
        match self.length {
            1 if self.is_by_value => Width::One,
            2 if self.is_by_value => Width::Two,
            4 if self.is_by_value => Width::Four,
            8 if self.is_by_value => Width::Eight,
            _ => Width::Other,
        }
    }

    /// Where the column begins behind others that end somewhere. Short values of different length are not aligned.
    fn start(&self, end: Option<usize>) -> Option<usize> {
        let start = end?.next_multiple_of(self.alignment);
        (self.length > 0 || Some(start) == end).then_some(start)
    }

    /// Where the column ends.
    fn end(&self, before: Option<usize>) -> Option<usize> {
        Some(self.start(before)? + usize::try_from(self.length).ok()?)
    }
}

/// Where a row is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The table or partition.
    pub relation: pg_sys::Oid,
    /// Its block.
    pub block: u32,
    /// Its line in the block.
    pub line: u16,
}

impl Place {
    /// A row's address in a table or partition.
    pub fn of(relation: pg_sys::Oid, address: pg_sys::ItemPointerData) -> Self {
        let (block, line) = pgrx::itemptr::item_pointer_get_both(address);
        Place { relation, block, line }
    }

    /// As PostgreSQL writes it.
    pub fn pointer(&self) -> pg_sys::ItemPointerData {
        let mut pointer = pg_sys::ItemPointerData::default();
        pgrx::itemptr::item_pointer_set_all(&mut pointer, self.block, self.line);
        pointer
    }
}

/// A row of a table as it is stored: what a trigger sees, or what is read without the executor.
pub struct StoredRow<'a> {
    tuple: &'a pg_sys::HeapTupleData,
    slot: *mut pg_sys::TupleTableSlot,
    relation: pg_sys::Oid,
}

impl<'a> StoredRow<'a> {
    /// A row of an open relation, and the slot that holds it, both valid as long as the result is.
    pub(super) fn of(
        tuple: &'a pg_sys::HeapTupleData,
        slot: *mut pg_sys::TupleTableSlot,
        relation: pg_sys::Oid,
    ) -> Self {
        StoredRow { tuple, slot, relation }
    }

    /// The value of a column; none where it is NULL.
    #[inline]
    pub fn datum(&self, column: &Column) -> Option<pg_sys::Datum> {
        self.in_place(column).unwrap_or_else(|| self.taken_apart(column))
    }

    /// The same where the row tells without being taken apart: most columns that are asked for lie at the beginning, and the
    /// session at the end.
    #[inline]
    fn in_place(&self, column: &Column) -> Option<Option<pg_sys::Datum>> {
        // SAFETY: the header says how many columns there are, where their values begin and, where it has such bits, which
        // are not NULL. What has a width of 8 bytes and comes last is what the row ends with.
        unsafe {
            let header = &*self.tuple.t_data;
            let place = column.number as usize - 1;
            let count = (header.t_infomask2 & pg_sys::HEAP_NATTS_MASK as u16) as usize;
            let bits = (&raw const header.t_bits).cast::<u8>();
            let has_value = |place: usize| *bits.add(place / 8) & 1 << (place % 8) != 0;
            let are_all_there = u32::from(header.t_infomask) & pg_sys::HEAP_HASNULL == 0;
            if place >= count {
                return None;
            }
            if !are_all_there && !has_value(place) {
                return Some(None);
            }
            let start = (&raw const *header).cast::<u8>();
            match column.offset {
                Some(offset) if are_all_there || (0..place).all(has_value) => {
                    Some(Some(column.read(start.add(usize::from(header.t_hoff) + offset))))
                }
                _ if place + 1 == count && column.width == Width::Eight => {
                    Some(Some(column.read(start.add(self.tuple.t_len as usize - size_of::<i64>()))))
                }
                _ => None,
            }
        }
    }

    fn taken_apart(&self, column: &Column) -> Option<pg_sys::Datum> {
        let place = column.number as usize - 1;
        // SAFETY: the slot holds a row of the relation that the column is one of, and has values up to it once they were
        // taken apart.
        unsafe {
            if (*self.slot).tts_nvalid < column.number {
                unguarded::slot_getsomeattrs_int(self.slot, c_int::from(column.number));
            }
            (!*(*self.slot).tts_isnull.add(place)).then(|| *(*self.slot).tts_values.add(place))
        }
    }

    /// A `bigint` column.
    #[inline]
    pub fn bigint(&self, column: &Column) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    /// A `timestamptz` column.
    #[inline]
    pub fn instant(&self, column: &Column) -> Option<Instant> {
        self.datum(column).map(|datum| datum.value() as Instant)
    }

    /// Writes a column as text into a buffer, by the type's own output function; says whether it was not NULL.
    #[inline]
    pub fn write_text(&self, column: &Column, text_of: &TextOf, buffer: &mut String) -> bool {
        buffer.clear();
        self.datum(column).inspect(|datum| text_of.write(*datum, buffer)).is_some()
    }

    /// Where the row is stored; meaningful after it was inserted.
    pub fn place(&self) -> Place {
        Place::of(self.relation, self.tuple.t_self)
    }
}

/// How the values of a type become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOf {
    /// `smallint`
    Small,
    /// `integer`
    Integer,
    /// `bigint`
    Bigint,
    /// `text` and its like: the text itself.
    Text,
    /// `character`: the text without the blanks that fill it up.
    Padded,
    /// Anything else, by its output function.
    Output(pg_sys::Oid),
}

impl TextOf {
    /// How values of a type become text.
    pub fn of(type_oid: pg_sys::Oid) -> Self {
        match type_oid {
            pg_sys::INT2OID => TextOf::Small,
            pg_sys::INT4OID => TextOf::Integer,
            pg_sys::INT8OID => TextOf::Bigint,
            pg_sys::TEXTOID | pg_sys::VARCHAROID => TextOf::Text,
            pg_sys::BPCHAROID => TextOf::Padded,
            _ => {
                let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
                // SAFETY: a catalog look-up; it raises an error for a type without output.
                unsafe { pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut is_varlena) };
                TextOf::Output(function)
            }
        }
    }

    fn write(&self, datum: pg_sys::Datum, buffer: &mut String) {
        let mut number = itoa::Buffer::new();
        match self {
            TextOf::Small => buffer.push_str(number.format(datum.value() as i16)),
            TextOf::Integer => buffer.push_str(number.format(datum.value() as i32)),
            TextOf::Bigint => buffer.push_str(number.format(datum.value() as i64)),
            // SAFETY: a text is stored as varlena.
            TextOf::Text => buffer.push_str(&String::from_utf8_lossy(unsafe { varlena_bytes(datum) })),
            TextOf::Padded => {
                TextOf::Text.write(datum, buffer);
                buffer.truncate(buffer.trim_end_matches(' ').len());
            }
            // SAFETY: the function is the output function of the value's type.
            TextOf::Output(function) => unsafe {
                let text = pg_sys::OidOutputFunctionCall(*function, datum);
                buffer.push_str(&CStr::from_ptr(text).to_string_lossy());
                pg_sys::pfree(text.cast());
            },
        }
    }
}
