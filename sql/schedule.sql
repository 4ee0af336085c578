-- Sweeps that come back by themselves, by means of pg_cron.

CREATE FUNCTION sessionize.purge_job(app text) RETURNS text
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT concat_ws(' of ', 'pg_sessionize purge', app);
END;
COMMENT ON FUNCTION sessionize.purge_job(text) IS 'the name of the job that purges an application, or all';

CREATE FUNCTION sessionize.require_cron() RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RAISE EXCEPTION 'extension "pg_cron" is not installed in database "%"', current_database()
            USING ERRCODE = '55000', DETAIL = 'Scheduled purges are its jobs.',
                  HINT = format(E'Add to postgresql.conf and restart: shared_preload_libraries = ''pg_cron'', cron.database_name = ''%s''\n'
                                'Then run in this database: CREATE EXTENSION pg_cron;', current_database());
    END IF;
END $$;
COMMENT ON FUNCTION sessionize.require_cron() IS 'refuses (55000) where pg_cron is missing, and says how to get it';

CREATE FUNCTION schedule_session_purge(days integer, schedule text DEFAULT '0 3 1 */3 *', app text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job bigint;
BEGIN
    PERFORM sessionize.inactive_since($1, now()), sessionize.app_id($3);
    IF $2 IS NULL THEN
        RAISE EXCEPTION 'schedule must not be null' USING ERRCODE = '22004', HINT = 'For example ''0 3 1 */3 *'': quarterly, at 3 in the night.';
    END IF;
    PERFORM sessionize.require_cron();
    EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job
      USING sessionize.purge_job($3), $2, format('CALL %s.sweep_inactive_sessions(%s, app => %L)', '@extschema@', $1, $3);
    RETURN job;
END $$;
COMMENT ON FUNCTION schedule_session_purge(integer, text, text) IS
    'makes pg_cron sweep inactive sessions at the times that a crontab schedule gives (by default quarterly), and gives the id of its job. A second call for the same application replaces the first';

CREATE FUNCTION unschedule_session_purge(app text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job bigint;
BEGIN
    PERFORM sessionize.require_cron();
    EXECUTE 'SELECT jobid FROM cron.job WHERE jobname = $1 AND username = current_user' INTO job USING sessionize.purge_job($1);
    IF job IS NOT NULL THEN
        EXECUTE 'SELECT cron.unschedule($1)' USING job;
    END IF;
    RETURN job IS NOT NULL;
END $$;
COMMENT ON FUNCTION unschedule_session_purge(text) IS
    'ends what schedule_session_purge() began for the application, or for all; false if there was nothing to end';
