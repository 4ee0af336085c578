//! pg_sessionize: events that an application already stores become sessions inside PostgreSQL.
//!
//! `pg` wraps PostgreSQL, `batch` holds the aggregates over whole tables, `live` the triggers that put each inserted
//! event into its session, `retention` what goes with a session; the rules are in the crate `sessionize-core`.

pgrx::pg_module_magic!();

mod batch;
mod pg;
mod retention;

pgrx::extension_sql_file!("../sql/batch.sql", name = "batch");
pgrx::extension_sql_file!("../sql/schema.sql", name = "schema", requires = ["batch"]);
pgrx::extension_sql_file!("../sql/apps.sql", name = "apps", requires = ["schema"]);
pgrx::extension_sql_file!("../sql/dependents.sql", name = "dependents", requires = ["schema"]);
pgrx::extension_sql_file!("../sql/inactivity.sql", name = "inactivity", requires = ["apps", "dependents"]);
pgrx::extension_sql_file!("../sql/purge.sql", name = "purge", requires = ["inactivity"]);
pgrx::extension_sql_file!("../sql/rights.sql", name = "rights", finalize);
