//! Rows of users' tables that belong to given sessions, read with the rights of the table's owner: casts, row security and
//! the expressions of indexes are the owner's code.

use pgrx::pg_sys::{Datum, INT4OID, INT8ARRAYOID, INT8OID, NAMEOID, Oid, REGCLASSOID, TEXTOID};

use crate::pg::call::Call;
use crate::pg::error::{Report, SqlState};
use crate::pg::owner::AsOwner;
use crate::pg::rows::{Value, give_rows};
use crate::pg::spi::{Argument, Connection};
use crate::pg::table::{UserTable, quoted};
use crate::pg_function;

/// Whoever may call this must not read just any table with it.
const KNOWN: &str = "
    SELECT session_id::pg_catalog.text
      FROM (SELECT relation, session_id FROM sessionize.attached_tables
            UNION ALL SELECT relation, session_id FROM sessionize.holding_tables) AS known
     WHERE relation OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND session_id OPERATOR(pg_catalog.=) $2
     LIMIT 1";

/// Asked with the caller's rights, since the owner of the table need not have any.
const CALLED: &str = "SELECT ids, meant FROM sessionize.ids_of_sessions($1)";

/// The ids by which rows may name sessions, and the session that each means.
fn ids_of(connection: &Connection, sessions: Argument) -> [Argument; 2] {
    let called = connection.run_once(CALLED, &[sessions], &[INT8ARRAYOID]);
    [1, 2].map(|place| Argument::passed(called.first().and_then(|row| row.datum(place))))
}

const SOURCE: &str = "
    SELECT source.instant, source.event, source.session_id::pg_catalog.text
      FROM sessionize.timeline_sources($2) AS source
     WHERE source.relation OPERATOR(pg_catalog.=) $1::pg_catalog.oid";

/// A row as jsonb. Values of type json may hold \u0000, which jsonb cannot: then these six characters stand for it. The
/// arguments that follow say so, since a setting changes how backslashes in literals are read.
fn row_as_jsonb(row: &str, first_argument: usize) -> String {
    let (zero, shown) = (first_argument, first_argument + 1);
    format!(
        "pg_catalog.regexp_replace(pg_catalog.to_json({row}.*)::pg_catalog.text, ${zero}, ${shown}, 'g')::pg_catalog.jsonb"
    )
}

fn zero_as_characters() -> [Argument; 2] {
    [Argument::text(r"(?<!\\)((?:\\\\)*)\\u0000"), Argument::text(r"\1\\\\u0000")]
}

/// `sessionize.attached_rows(relation, session_id, sessions, contents)`; STRICT.
fn attached_rows(call: &mut Call) -> Datum {
    let [relation, column, sessions] = [0, 1, 2].map(|index| call.datum(index));
    let contents = call.datum(3).is_some_and(|wanted| wanted.value() & 0xff != 0);

    let connection = Connection::open();
    let asked = [Argument::passed(relation), Argument::passed(column)];
    let known = connection.run_once(KNOWN, &asked, &[REGCLASSOID, NAMEOID]).first().and_then(|row| row.text(1));
    let Some(column) = known else {
        Report::new(SqlState::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "table is not known to belong to sessions")
            .hint("Known are those in the views sessionize.attached_tables and sessionize.holding_tables.")
            .raise()
    };
    let oid = relation.map_or(Oid::INVALID, |datum| Oid::from_u32(datum.value() as u32));
    let Some(table) = UserTable::to_read(oid) else {
        return give_rows::<3>(call, &[]);
    };
    let rows = if contents {
        table.require_readable();
        format!("pg_catalog.jsonb_agg({})", row_as_jsonb("attached", 3))
    } else {
        "NULL::pg_catalog.jsonb".to_owned()
    };
    let (name, column) = (&table.name, quoted(&column));
    let statement = format!(
        "SELECT asked.session, pg_catalog.count(*), {rows}
           FROM {name} AS attached
           JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS asked (id, session)
             ON attached.{column} OPERATOR(pg_catalog.=) asked.id
          GROUP BY asked.session"
    );
    let [ids, meant] = ids_of(&connection, Argument::passed(sessions));
    let found = {
        let _owner = AsOwner::of_users_table(oid);
        let [zero, shown] = zero_as_characters();
        connection.run_once(&statement, &[ids, meant, zero, shown], &[INT8ARRAYOID, INT8ARRAYOID, TEXTOID, TEXTOID])
    };
    let rows: Vec<[Value; 3]> = found.iter().map(|row| [1, 2, 3].map(|column| Value::Any(row.datum(column)))).collect();
    give_rows(call, &rows)
}

/// `sessionize.timeline_rows(relation, app_id, session_id)`; STRICT.
fn timeline_rows(call: &mut Call) -> Datum {
    let [relation, app, session] = [0, 1, 2].map(|index| call.datum(index));
    let oid = relation.map_or(Oid::INVALID, |datum| Oid::from_u32(datum.value() as u32));
    let Some(table) = UserTable::to_read(oid) else {
        return give_rows::<3>(call, &[]);
    };
    table.require_readable();
    let connection = Connection::open();
    let source =
        connection.run_once(SOURCE, &[Argument::passed(relation), Argument::passed(app)], &[REGCLASSOID, INT4OID]);
    let Some((instant, event, column)) =
        source.first().and_then(|source| Some((source.text(1)?, source.text(2)?, source.text(3)?)))
    else {
        return give_rows::<3>(call, &[]);
    };
    let (name, row) = (&table.name, row_as_jsonb("happened", 3));
    let statement = format!(
        "SELECT {instant}, {event}, {row} OPERATOR(pg_catalog.-) $2
           FROM {name} AS happened
          WHERE happened.{} OPERATOR(pg_catalog.=) ANY ($1)",
        quoted(&column)
    );
    let session = session.map(|datum| datum.value() as i64);
    let [ids, _] = ids_of(&connection, Argument::wide_array(INT8OID, std::iter::once(session)));
    let found = {
        let _owner = AsOwner::of_users_table(oid);
        let [zero, shown] = zero_as_characters();
        let arguments = [ids, Argument::text(&column), zero, shown];
        connection.run_once(&statement, &arguments, &[INT8ARRAYOID, TEXTOID, TEXTOID, TEXTOID])
    };
    let rows: Vec<[Value; 3]> = found.iter().map(|row| [1, 2, 3].map(|column| Value::Any(row.datum(column)))).collect();
    give_rows(call, &rows)
}

pg_function!(
    /// `sessionize.attached_rows(regclass, name, bigint[], boolean)`
    sessionize_attached_rows, pg_finfo_sessionize_attached_rows, attached_rows
);
pg_function!(
    /// `sessionize.timeline_rows(regclass, integer, bigint)`
    sessionize_timeline_rows, pg_finfo_sessionize_timeline_rows, timeline_rows
);
