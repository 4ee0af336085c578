//! Rights on sessions, given by those who may and in the name of who owns the tables.

use pgrx::pg_sys::{self, Datum};

use crate::pg::call::Call;
use crate::pg::owner::{AsOwner, current_role};
use crate::pg::spi::{Argument, Connection};
use crate::pg::transaction::own_relation;
use crate::pg_function;

const GRANT_READER: &str = "SELECT sessionize.grant_as_owner($1, $2, false)";
const GRANT_ADMIN: &str = "SELECT sessionize.grant_as_owner($1, $2, true)";

fn grant(call: &mut Call, statement: &str) -> Datum {
    let arguments = [Argument::oid(current_role()), Argument::passed(call.datum(0))];
    let _owner = AsOwner::of_relation(own_relation(c"sessions").unwrap_or_default());
    Connection::open().run_once(statement, &arguments, &[pg_sys::OIDOID, pg_sys::NAMEOID]);
    call.no_row()
}

fn grant_reader(call: &mut Call) -> Datum {
    grant(call, GRANT_READER)
}

fn grant_admin(call: &mut Call) -> Datum {
    grant(call, GRANT_ADMIN)
}

pg_function!(
    /// `(name) → void`
    sessionize_grant_reader, pg_finfo_sessionize_grant_reader, grant_reader
);
pg_function!(
    /// `(name) → void`
    sessionize_grant_admin, pg_finfo_sessionize_grant_admin, grant_admin
);
