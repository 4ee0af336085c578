//! Statements of ours: plans that are kept, and the rows that they give.

use std::ffi::CString;

use pgrx::{FromDatum, pg_sys};
use sessionize_core::Instant;

use super::call::varlena_bytes;
use super::error::{Report, SqlState, passing_errors};
use super::owner::set;
use super::unguarded;

/// A connection to the executor; what statements give lives until it ends. Connections nest.
pub struct Connection(());

impl Connection {
    /// Opens a connection.
    pub fn open() -> Self {
        // SAFETY: paired with SPI_finish in drop; a statement that fails ends the connection with its transaction.
        unsafe { check(pg_sys::SPI_connect()) };
        Connection(())
    }

    /// Runs a kept plan, and gives its rows.
    pub fn run<'a>(&'a self, plan: &Plan, arguments: &[Argument]) -> Rows<'a> {
        let mut values: Vec<pg_sys::Datum> = arguments.iter().map(|argument| argument.value).collect();
        let nulls: Vec<std::ffi::c_char> =
            arguments.iter().map(|argument| if argument.null { b'n' } else { b' ' } as _).collect();
        assert_eq!(values.len(), plan.arguments, "a plan gets all of its arguments");
        // SAFETY: the plan was kept, and there are as many values as it has arguments. Statements read what is
        // committed when they start, so that they see what was done by whoever held the locks before.
        unsafe {
            let (values, nulls) = (values.as_mut_ptr(), nulls.as_ptr());
            check(passing_errors(|| unguarded::SPI_execute_plan(plan.plan, values, nulls, false, 0)));
            Rows { table: pg_sys::SPI_tuptable, processed: pg_sys::SPI_processed, _connection: self }
        }
    }

    /// Prepares a statement and runs it once.
    pub fn run_once<'a>(&'a self, sql: &str, arguments: &[Argument], types: &[pg_sys::Oid]) -> Rows<'a> {
        let plan = Plan::for_now(self, sql, types);
        let rows = self.run(&plan, arguments);
        plan.free();
        rows
    }

    /// The same for few rows of a user's table, which may have grown since it was analyzed: planned to find them by index,
    /// while the triggers of the table run with the settings that hold.
    pub fn look_up_once<'a>(&'a self, sql: &str, arguments: &[Argument], types: &[pg_sys::Oid]) -> Rows<'a> {
        let plan = Plan::by_index(self, sql, types);
        let rows = self.run(&plan, arguments);
        plan.free();
        rows
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // When a statement failed, PostgreSQL closes the connection as it rolls back.
        if !std::thread::panicking() {
            // SAFETY: paired with SPI_connect.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// A statement that is prepared.
pub struct Plan {
    plan: pg_sys::SPIPlanPtr,
    arguments: usize,
}

impl Plan {
    /// Prepares a statement, and keeps it for the life of the connection to the client or until it is freed.
    pub fn prepare(connection: &Connection, sql: &str, types: &[pg_sys::Oid]) -> Self {
        let prepared = Plan::for_now(connection, sql, types);
        // SAFETY: the plan is the executor's own until it is kept.
        unsafe { check(pg_sys::SPI_keepplan(prepared.plan)) };
        prepared
    }

    /// Prepares a statement for as long as the connection is open: if it fails, nothing is left of it.
    fn for_now(connection: &Connection, sql: &str, types: &[pg_sys::Oid]) -> Self {
        Self::with_options(connection, sql, types, 0)
    }

    /// The same, planned at once whatever the arguments will be, and without reading whole tables.
    fn by_index(connection: &Connection, sql: &str, types: &[pg_sys::Oid]) -> Self {
        let prepared = Self::with_options(connection, sql, types, pg_sys::CURSOR_OPT_GENERIC_PLAN);
        // SAFETY: the setting ends with its nest level; a plan that is not kept has no other owner than the connection.
        unsafe {
            let settings = pg_sys::NewGUCNestLevel();
            set(c"enable_seqscan", c"off");
            let planned = passing_errors(|| unguarded::SPI_plan_get_cached_plan(prepared.plan));
            pg_sys::ReleaseCachedPlan(planned, std::ptr::null_mut());
            pg_sys::AtEOXact_GUC(false, settings);
        }
        prepared
    }

    fn with_options(_connection: &Connection, sql: &str, types: &[pg_sys::Oid], options: u32) -> Self {
        let text = CString::new(sql).expect("our statements hold no zero bytes");
        let mut types = types.to_vec();
        // SAFETY: the text is terminated, and the types are as many as said.
        unsafe {
            let (count, types_start) = (types.len() as i32, types.as_mut_ptr());
            let plan = pg_sys::SPI_prepare_cursor(text.as_ptr(), count, types_start, options as i32);
            if plan.is_null() {
                check(pg_sys::SPI_result);
            }
            Plan { plan, arguments: types.len() }
        }
    }
}

impl Plan {
    /// Lets go of the plan; rows that it gave do not depend on it.
    pub fn free(self) {
        // SAFETY: the plan is used no more.
        unsafe { pg_sys::SPI_freeplan(self.plan) };
    }
}

fn check(code: i32) {
    if code < 0 {
        Report::new(SqlState::ERRCODE_INTERNAL_ERROR, format!("a statement of pg_sessionize failed with code {code}"))
            .raise();
    }
}

/// The rows of a statement.
pub struct Rows<'a> {
    table: *mut pg_sys::SPITupleTable,
    processed: u64,
    _connection: &'a Connection,
}

impl<'a> Rows<'a> {
    /// How many rows there are, or were changed.
    pub fn count(&self) -> usize {
        self.processed as usize
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let table = self.table;
        let count = if table.is_null() { 0 } else { self.processed as usize };
        (0..count).map(move |index| {
            // SAFETY: the table holds that many rows until the connection ends.
            unsafe {
                Row { tuple: *(*table).vals.add(index), columns: (*table).tupdesc, _life: std::marker::PhantomData }
            }
        })
    }

    /// The first row.
    pub fn first(&self) -> Option<Row<'a>> {
        self.iter().next()
    }
}

/// A row of a statement. The statement fixes the types of its columns; the accessors rely on that.
pub struct Row<'a> {
    tuple: pg_sys::HeapTuple,
    columns: pg_sys::TupleDesc,
    _life: std::marker::PhantomData<&'a ()>,
}

impl<'a> Row<'a> {
    /// How many columns the row has.
    pub fn column_count(&self) -> usize {
        // SAFETY: the description lives as long as the connection.
        unsafe { (*self.columns).natts as usize }
    }

    /// A column, counted from 1, that is not NULL.
    pub fn datum(&self, column: usize) -> Option<pg_sys::Datum> {
        let mut null = false;
        // SAFETY: tuple and columns belong together and live as long as the connection.
        let datum = unsafe { pg_sys::SPI_getbinval(self.tuple, self.columns, column as i32, &mut null) };
        (!null).then_some(datum)
    }

    /// A `bigint` column.
    pub fn bigint(&self, column: usize) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    /// An `integer` column.
    pub fn integer(&self, column: usize) -> Option<i32> {
        self.datum(column).map(|datum| datum.value() as i32)
    }

    /// A `boolean` column.
    pub fn flag(&self, column: usize) -> Option<bool> {
        self.datum(column).map(|datum| datum.value() != 0)
    }

    /// An `oid` column.
    pub fn oid(&self, column: usize) -> Option<pg_sys::Oid> {
        self.datum(column).map(|datum| pg_sys::Oid::from(datum.value() as u32))
    }

    /// A `tid` column.
    pub fn row_address(&self, column: usize) -> Option<pg_sys::ItemPointerData> {
        // SAFETY: a tid is passed as a pointer to its stored form.
        self.datum(column).map(|datum| unsafe { *datum.cast_mut_ptr::<pg_sys::ItemPointerData>() })
    }

    /// A `timestamptz` column.
    pub fn instant(&self, column: usize) -> Option<Instant> {
        self.bigint(column)
    }

    /// A `text` column.
    pub fn text(&self, column: usize) -> Option<String> {
        self.datum(column).map(|datum| {
            // SAFETY: a text is stored as varlena.
            String::from_utf8_lossy(unsafe { varlena_bytes(datum) }).into_owned()
        })
    }

    /// A one-dimensional array column, its elements read one by one.
    pub fn array<T>(&self, column: usize) -> Option<Vec<Option<T>>>
    where
        Vec<Option<T>>: FromDatum,
    {
        // SAFETY: the statement fixes the type of the column.
        self.datum(column).and_then(|datum| unsafe { Vec::<Option<T>>::from_datum(datum, false) })
    }
}

/// A value passed to a statement.
#[derive(Clone, Copy)]
pub struct Argument {
    value: pg_sys::Datum,
    null: bool,
}

impl Argument {
    const NULL: Argument = Argument { value: pg_sys::Datum::null(), null: true };

    /// An argument of the function under way, which the statement takes with the same type.
    pub fn passed(value: Option<pg_sys::Datum>) -> Self {
        Argument { value: value.unwrap_or(pg_sys::Datum::null()), null: value.is_none() }
    }

    /// A `boolean`.
    pub fn flag(value: bool) -> Self {
        Argument { value: pg_sys::Datum::from(value), null: false }
    }

    /// An `integer`.
    pub fn integer(value: i32) -> Self {
        Argument { value: pg_sys::Datum::from(value), null: false }
    }

    /// An `oid`.
    pub fn oid(value: pg_sys::Oid) -> Self {
        Argument { value: pg_sys::Datum::from(value), null: false }
    }

    /// A `text`.
    pub fn text(value: &str) -> Self {
        Argument { value: text_datum(value), null: false }
    }

    /// An array of a fixed-width type that is passed by value in 8 bytes: `bigint[]` or `timestamptz[]`.
    pub fn wide_array(element: pg_sys::Oid, values: impl Iterator<Item = Option<i64>>) -> Self {
        array(element, 8, true, b'd', values.map(|value| value.map(pg_sys::Datum::from)))
    }

    /// A `text[]`.
    pub fn text_array<'t>(values: impl Iterator<Item = Option<&'t str>>) -> Self {
        array(pg_sys::TEXTOID, -1, false, b'i', values.map(|value| value.map(text_datum)))
    }

    /// An array of `tid`.
    pub fn row_array(values: impl Iterator<Item = pg_sys::ItemPointerData>) -> Self {
        let datums = values.map(|value| {
            // SAFETY: the allocation has the size of a row's address.
            Some(unsafe {
                let copy = pg_sys::palloc(size_of::<pg_sys::ItemPointerData>()).cast::<pg_sys::ItemPointerData>();
                copy.write(value);
                pg_sys::Datum::from(copy)
            })
        });
        array(pg_sys::TIDOID, 6, false, b's', datums)
    }

    /// Any value that may be missing.
    pub fn or_null(value: Option<Argument>) -> Self {
        value.unwrap_or(Argument::NULL)
    }
}

fn text_datum(value: &str) -> pg_sys::Datum {
    // SAFETY: makes a copy in the current memory context.
    unsafe { pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(value.as_ptr().cast(), value.len() as i32)) }
}

fn array(
    element: pg_sys::Oid,
    length: i32,
    by_value: bool,
    align: u8,
    values: impl Iterator<Item = Option<pg_sys::Datum>>,
) -> Argument {
    let (mut datums, mut nulls): (Vec<pg_sys::Datum>, Vec<bool>) =
        values.map(|value| (value.unwrap_or(pg_sys::Datum::null()), value.is_none())).unzip();
    let mut size = [datums.len() as i32];
    let mut start = [1];
    // SAFETY: length, alignment and passing are those of the element type, and the vectors are as long as said.
    let value = unsafe {
        pg_sys::construct_md_array(
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            size.as_mut_ptr(),
            start.as_mut_ptr(),
            element,
            length,
            by_value,
            align as std::ffi::c_char,
        )
    };
    Argument { value: pg_sys::Datum::from(value), null: false }
}
