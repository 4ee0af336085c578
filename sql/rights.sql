-- Who may do what. Comes last: it goes through everything that the other files made.

-- Writing events needs no right here: the triggers write sessions as their owner.
REVOKE ALL ON SCHEMA sessionize FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA sessionize FROM PUBLIC;

-- A right follows from what a function declares: IMMUTABLE ones work on their arguments alone, STABLE ones read
-- sessions, VOLATILE ones change them. Functions that check their caller themselves are open, and so are the triggers of
-- tracked tables, which their owners make. Those of our own tables are nobody else's: on a table of his own whoever may
-- call them could feed them what rows he likes.
CREATE VIEW sessionize.functions AS
SELECT routine.oid::regprocedure AS routine,
       CASE WHEN routine.prorettype = 'trigger'::regtype AND routine.pronamespace = 'sessionize'::regnamespace THEN 'nobody'
            WHEN routine.provolatile = 'i' OR routine.prorettype = 'trigger'::regtype OR routine.proname = 'resolve_session'
                 OR routine.proname IN ('grant_session_reader', 'grant_session_admin', 'backfilled_session') THEN 'public'
            WHEN routine.provolatile = 's' THEN 'reader'
            ELSE 'admin' END AS open_to
  FROM pg_extension AS extension
  JOIN pg_depend AS member ON member.refclassid = 'pg_extension'::regclass AND member.refobjid = extension.oid
                          AND member.deptype = 'e' AND member.classid = 'pg_proc'::regclass
  JOIN pg_proc AS routine ON routine.oid = member.objid
 WHERE extension.extname = 'pg_sessionize';
COMMENT ON VIEW sessionize.functions IS 'the functions of pg_sessionize and who may call them: public, reader, admin or nobody';
REVOKE ALL ON sessionize.functions FROM PUBLIC;

CREATE FUNCTION sessionize.grant_rights(grantee name, admin boolean, options text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    routine regprocedure;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA sessionize, %s TO %I %s', '@extschema@', grantee, options);
    EXECUTE format('GRANT %s ON ALL TABLES IN SCHEMA sessionize TO %I %s',
                   CASE WHEN admin THEN 'SELECT, INSERT, UPDATE, DELETE' ELSE 'SELECT' END, grantee, options);
    IF admin THEN
        EXECUTE format('GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA sessionize TO %I %s', grantee, options);
    END IF;
    FOR routine IN SELECT known.routine FROM sessionize.functions AS known
                    WHERE known.open_to = 'reader' OR admin AND known.open_to = 'admin' LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I %s', routine, grantee, options);
    END LOOP;
END $$;
COMMENT ON FUNCTION sessionize.grant_rights(name, boolean, text) IS 'grants the rights of a reader or an administrator';

CREATE FUNCTION sessionize.grant_as_owner(caller oid, grantee name, admin boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS extension, pg_database AS database, pg_roles AS asking
                    WHERE extension.extname = 'pg_sessionize' AND database.datname = current_database() AND asking.oid = caller
                      AND (asking.rolsuper OR pg_has_role(asking.oid, extension.extowner, 'USAGE')
                           OR pg_has_role(asking.oid, database.datdba, 'USAGE'))) THEN
        RAISE EXCEPTION 'permission denied to grant rights on sessions'
            USING ERRCODE = '42501', DETAIL = format('Role "%s" owns neither the extension nor the database.', pg_get_userbyid(caller)),
                  HINT = 'Let the role that created the extension call the function.';
    ELSIF grantee IS NULL THEN
        RAISE EXCEPTION 'role must not be null' USING ERRCODE = '22004', HINT = 'Name a role.';
    ELSIF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = grantee) THEN
        RAISE EXCEPTION 'role "%" does not exist', grantee USING ERRCODE = '42704', HINT = 'Make it with CREATE ROLE.';
    END IF;
    PERFORM sessionize.grant_rights(grantee, admin, '');
END $$;
COMMENT ON FUNCTION sessionize.grant_as_owner(oid, name, boolean) IS
    'grants rights if the caller is the owner of the extension or the database, or a superuser; else 42501. Does it with the rights that it is called with';

-- The objects belong to a superuser where the extension was trusted. SECURITY DEFINER would hide who asks.
CREATE FUNCTION grant_session_reader(role name) RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'sessionize_grant_reader';
COMMENT ON FUNCTION grant_session_reader(name) IS
    'lets a role read sessions: lists, counts, details, timelines, risk, statistics. Only the owner of the extension or the database may call it';

CREATE FUNCTION grant_session_admin(role name) RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'sessionize_grant_admin';
COMMENT ON FUNCTION grant_session_admin(name) IS
    'lets a role manage sessions: all that a reader may, and applications, tracking, lifecycle, risk, purges. Only the owner of the extension or the database may call it';

DO $$
DECLARE
    routine regprocedure;
    creator name;
BEGIN
    FOR routine IN SELECT known.routine FROM sessionize.functions AS known WHERE known.open_to <> 'public' LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
    -- The objects of a trusted extension belong to a superuser; whoever created it manages it, and may pass that on.
    SELECT role.rolname INTO creator FROM pg_extension AS extension JOIN pg_roles AS role ON role.oid = extension.extowner
     WHERE extension.extname = 'pg_sessionize' AND NOT role.rolsuper;
    IF FOUND THEN
        PERFORM sessionize.grant_rights(creator, true, 'WITH GRANT OPTION');
    END IF;
END $$;
