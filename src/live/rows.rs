//! Rows of event tables that are there already, read with the rights of the table's owner.

use pgrx::pg_sys::{self, Oid};
use sessionize_core::Instant;
use sessionize_core::assignment::{Effect, Event, LONGEST_VISITOR};
use sessionize_core::facts::{FACTS, Fact, Facts, is_usable};

use super::record::Recorded;
use super::settings::{AppSettings, Columns, Tracked, own_tables};
use super::triggers::read_facts;
use crate::pg::block_range::{BlockRange, Spot};
use crate::pg::owner::AsOwner;
use crate::pg::spi::{Argument, Connection, Plan, Row};
use crate::pg::stored_row::{Place, StoredRow};
use crate::pg::table::UserTable;

/// A tracked table as SQL names it.
pub struct EventTable {
    /// The table.
    pub relation: Oid,
    /// The column of the session, quoted.
    pub session_id: String,
    /// The same, as it is called.
    pub session_column: String,
    visitor: String,
    visitor_type: Oid,
    occurred_at: String,
    columns: String,
}

const READ_TABLES: &str = "
    SELECT events::oid, quote_ident(visitor), quote_ident(occurred_at), quote_ident(session_id),
           quote_ident(kind), quote_ident(customer), quote_ident(ip), quote_ident(country), quote_ident(channel),
           quote_ident(cart_items), quote_ident(cart_value), quote_ident(currency), session_id::text,
           (SELECT atttypid FROM pg_attribute WHERE attrelid = events AND attname = visitor)
      FROM sessionize.tracked_tables
     WHERE (app_id = $1 OR $1 IS NULL) AND (tracking_id = $2 OR $2 IS NULL)
       AND EXISTS (SELECT FROM pg_class WHERE oid = events)
     ORDER BY tracking_id";

/// The tracked tables of an application, or the one of a tracking number.
pub fn tables(app: Option<i32>, tracking: Option<i32>) -> Vec<EventTable> {
    let _owner = AsOwner::for_look_ups(own_tables().sessions);
    let connection = Connection::open();
    let arguments = [Argument::or_null(app.map(Argument::integer)), Argument::or_null(tracking.map(Argument::integer))];
    let rows = connection.run_once(READ_TABLES, &arguments, &[pg_sys::INT4OID, pg_sys::INT4OID]);
    rows.iter().filter_map(|row| read_table(&row)).collect()
}

fn read_table(row: &Row) -> Option<EventTable> {
    let (visitor, occurred_at, session_id) = (row.text(2)?, row.text(3)?, row.text(4)?);
    let visitor_type = row.oid(14)?;
    let mut columns = format!(
        "event.tableoid, event.ctid, {}, event.{occurred_at}, event.{session_id}",
        text_of(&visitor, visitor_type)
    );
    // Kind and facts only as far as the table has them: reading costs by the column.
    let optional: Vec<Option<String>> = (5..6 + FACTS).map(|column| row.text(column)).collect();
    if optional.iter().any(Option::is_some) {
        for name in optional {
            columns += &name.map_or(", NULL::text".to_owned(), |name| format!(", event.{name}::text"));
        }
    }
    Some(EventTable {
        relation: row.oid(1)?,
        session_id,
        session_column: row.text(13)?,
        visitor,
        visitor_type,
        occurred_at,
        columns,
    })
}

/// A column as the text that the triggers make of it: see [`TextOf`](crate::pg::stored_row::TextOf).
fn text_of(column: &str, type_oid: Oid) -> String {
    match type_oid {
        pg_sys::TEXTOID
        | pg_sys::VARCHAROID
        | pg_sys::BPCHAROID
        | pg_sys::INT2OID
        | pg_sys::INT4OID
        | pg_sys::INT8OID => {
            format!("event.{column}::pg_catalog.text")
        }
        // A cast to text may say it differently: that of inet appends the length of its mask.
        _ => format!("CASE WHEN event.{column} IS NOT NULL THEN pg_catalog.format('%s', event.{column}) END"),
    }
}

impl EventTable {
    /// The condition under which a row belongs to the visitor `$1`, written so that an index on the column can help;
    /// none where the column cannot hold that visitor.
    fn belongs(&self, visitor: &str) -> Option<String> {
        let column = &self.visitor;
        match self.visitor_type {
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Some(format!("event.{column} = $1")),
            pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID => {
                let number: i64 = visitor.parse().ok()?;
                (number.to_string() == visitor).then(|| format!("event.{column} = $1::text::bigint"))
            }
            pg_sys::BPCHAROID => Some(format!("event.{column} = $1::bpchar")),
            _ => Some(format!("{} = $1", text_of(column, self.visitor_type))),
        }
    }

    /// The condition under which a row can have no session, whatever else there is.
    pub fn has_none(&self) -> String {
        let EventTable { visitor, visitor_type, occurred_at, .. } = self;
        format!(
            "(event.{visitor} IS NULL OR pg_catalog.octet_length({}) OPERATOR(pg_catalog.>) {LONGEST_VISITOR}
              OR event.{occurred_at} IS NULL OR NOT pg_catalog.isfinite(event.{occurred_at}))",
            text_of(visitor, *visitor_type)
        )
    }

    /// Reads a visitor's rows, and locks them if asked to. The column may find equal what is another visitor's name.
    pub fn rows_of(&self, app: &AppSettings, visitor: &str, lock: bool, mut each: impl FnMut(Recorded)) {
        let Some(belongs) = self.belongs(visitor) else { return };
        let Some(UserTable { own, .. }) = UserTable::to_read(self.relation) else { return };
        let locking = if lock { " FOR NO KEY UPDATE" } else { "" };
        let sql = format!("SELECT {} FROM {own} AS event WHERE {belongs}{locking}", self.columns);
        let _owner = AsOwner::of_relation(self.relation);
        let connection = Connection::open();
        let rows = connection.run_once(&sql, &[Argument::text(visitor)], &[pg_sys::TEXTOID]);
        let own = rows.iter().filter_map(|row| read_row(app, &row)).filter(|(name, _)| name == visitor);
        own.for_each(|(_, row)| each(row));
    }

    /// Reads the rows without session of one partition, or of the table, in a range of blocks.
    pub fn unassigned_rows(&self, tracked: &Tracked, leaf: &Leaf, mut each: impl FnMut(&str, Recorded)) {
        let (app, columns) = (&tracked.app, &tracked.columns);
        let _owner = AsOwner::of_relation(leaf.relation);
        if let Some(range) = &leaf.stored {
            let mut visitor = String::new();
            range.read(|row| {
                if row.datum(&columns.session_id).is_none() && columns.write_visitor(row, &mut visitor) {
                    stored_row(app, columns, row).into_iter().for_each(|row| each(&visitor, row));
                }
            });
            return;
        }
        let connection = Connection::open();
        let sql = format!("SELECT {} FROM ONLY {} AS event WHERE {}", self.columns, leaf.name, leaf.unassigned(self));
        let rows = connection.run_once(&sql, &[], &[]);
        rows.iter().filter_map(|row| read_row(app, &row)).for_each(|(visitor, row)| each(&visitor, row));
    }

    /// Writes sessions into rows of the same range, which come in order of their spots, without the executor; gives how many
    /// rows were written. None where only [`EventTable::point_unassigned`] can do it.
    pub fn write_sessions(&self, tracked: &Tracked, leaf: &Leaf, sessions: &[(Spot, i64)]) -> Option<usize> {
        let range = leaf.stored.as_ref()?;
        let _owner = AsOwner::of_relation(leaf.relation);
        range.write(tracked.columns.session_id.number, sessions)
    }

    /// Writes into the rows of the same range what `sessionize.backfilled_session` says of their places; gives how many
    /// rows were written.
    pub fn point_unassigned(&self, leaf: &Leaf, function: &str) -> usize {
        let Leaf { name, .. } = leaf;
        let sql = format!(
            "UPDATE ONLY {name} AS event SET {} = {function}(event.ctid) WHERE {} AND {function}(event.ctid) IS NOT NULL",
            self.session_id,
            leaf.unassigned(self)
        );
        let connection = Connection::open();
        let _owner = AsOwner::of_users_table(leaf.relation);
        // The owner of the table need not have any right on the schema of the function, which matters when it is looked up.
        let plan = {
            let _owner = AsOwner::of_relation_here(own_tables().sessions);
            Plan::prepare(&connection, &sql, &[])
        };
        let written = connection.run(&plan, &[]).count();
        plan.free();
        written
    }
}

/// A range of blocks of a partition, or of a table that has none.
pub struct Leaf {
    /// The partition.
    pub relation: Oid,
    /// Its name, qualified and quoted.
    pub name: String,
    /// The first block, and the one after the last.
    pub blocks: (u32, u32),
    /// The rows, where they can be read as they are stored.
    stored: Option<BlockRange>,
}

impl Leaf {
    /// A range of blocks; none where the partition was dropped.
    pub fn new(relation: Oid, blocks: (u32, u32)) -> Option<Self> {
        Some(Leaf {
            relation,
            name: UserTable::to_read(relation)?.name,
            blocks,
            stored: BlockRange::open(relation, blocks),
        })
    }

    fn unassigned(&self, table: &EventTable) -> String {
        let (first, end) = self.blocks;
        let EventTable { session_id, visitor, .. } = table;
        format!(
            "event.ctid OPERATOR(pg_catalog.>=) '({first},0)' AND event.ctid OPERATOR(pg_catalog.<) '({end},0)' AND event.{session_id} IS NULL AND event.{visitor} IS NOT NULL"
        )
    }
}

/// A row as if its event had arrived on time; none where it can have no session.
fn stored_row(app: &AppSettings, columns: &Columns, row: &StoredRow) -> Option<Recorded> {
    let at: Instant = row.instant(&columns.occurred_at)?;
    let at = app.app.admits(Some(at), at).ok()?;
    let kind = columns.kind.filter(|_| app.knows_kinds()).and_then(|kind| kind.of(row));
    let effect = app.effect(kind.as_deref());
    let facts = if effect == Effect::Passive { None } else { read_facts(columns, row, at) };
    Some(Recorded { event: Event { at, arrival: at, effect, facts }, guess: None, place: row.place() })
}

/// The same of a row that a statement gave.
fn read_row(app: &AppSettings, row: &Row) -> Option<(String, Recorded)> {
    let visitor = row.text(3).filter(|visitor| visitor.len() <= LONGEST_VISITOR)?;
    let at: Instant = row.instant(4)?;
    let at = app.app.admits(Some(at), at).ok()?;
    let has_more = row.column_count() > 5;
    let effect = app.effect(if has_more { row.text(6) } else { None }.as_deref());
    let place = Place::of(row.oid(1)?, row.row_address(2)?);
    let fact = |place: usize| {
        let value = row.text(7 + place).filter(|value| is_usable(place, value))?;
        Some(Fact { at, value: value.into_boxed_str() })
    };
    let facts: Option<Facts> = (has_more && effect != Effect::Passive).then(|| std::array::from_fn(fact));
    let facts = facts.filter(|facts| facts.iter().any(Option::is_some)).map(Box::new);
    Some((visitor, Recorded { event: Event { at, arrival: at, effect, facts }, guess: row.bigint(5), place }))
}
