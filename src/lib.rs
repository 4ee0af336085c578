//! pg_sessionize: events that an application already stores become sessions inside PostgreSQL.
//!
//! `pg` wraps PostgreSQL, `batch` holds the aggregates over whole tables, `live` the triggers that
//! put each inserted event into its session, and the rules themselves are in the crate `sessionize-core`.

pgrx::pg_module_magic!();

mod batch;
mod live;
mod pg;

pgrx::extension_sql_file!("../sql/batch.sql", name = "batch");
pgrx::extension_sql_file!("../sql/schema.sql", name = "schema", requires = ["batch"]);
pgrx::extension_sql_file!("../sql/apps.sql", name = "apps", requires = ["schema"]);
pgrx::extension_sql_file!("../sql/tracking.sql", name = "tracking", requires = ["apps"]);
pgrx::extension_sql_file!("../sql/backfill.sql", name = "backfill", requires = ["tracking"]);
pgrx::extension_sql_file!("../sql/rights.sql", name = "rights", finalize);
