-- Scoring sessions by the rules about risk.

CREATE FUNCTION set_risk_thresholds(
    app text, monitored_from integer DEFAULT NULL, review_from integer DEFAULT NULL, restricted_from integer DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted integer := sessionize.app_id($1);
    changed record;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'application must not be null' USING ERRCODE = '22004', HINT = 'Name the application.';
    END IF;
    SELECT coalesce($2, known.monitored_from) AS monitored_from, coalesce($3, known.review_from) AS review_from,
           coalesce($4, known.restricted_from) AS restricted_from INTO changed
      FROM sessionize.apps AS known WHERE known.app_id = wanted FOR NO KEY UPDATE;
    IF NOT (0 < changed.monitored_from AND changed.monitored_from <= changed.review_from
            AND changed.review_from <= changed.restricted_from AND changed.restricted_from <= 101) THEN
        RAISE EXCEPTION 'thresholds of risk levels are out of order'
            USING ERRCODE = '22023',
                  DETAIL = format('Monitored from %s, review from %s, restricted from %s.',
                                  changed.monitored_from, changed.review_from, changed.restricted_from),
                  HINT = 'Use scores from 1 to 101, rising from level to level; no score reaches 101.';
    END IF;
    UPDATE sessionize.apps AS known
       SET monitored_from = changed.monitored_from, review_from = changed.review_from, restricted_from = changed.restricted_from
     WHERE known.app_id = wanted;
END $$;
COMMENT ON FUNCTION set_risk_thresholds(text, integer, integer, integer) IS
    'from which score on a session of the application is monitored, to be reviewed, restricted; NULL leaves a threshold as it is. Holds from the next assessment on';

CREATE FUNCTION sessionize.rules_of(app_id integer) RETURNS SETOF sessionize.risk_rules
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT rule.* FROM sessionize.risk_rules AS rule
     WHERE rule.enabled AND (rule.app_id IS NULL OR rule.app_id = rules_of.app_id)
       -- an application's own rule stands for the common one of that name
       AND NOT (rule.app_id IS NULL AND EXISTS (SELECT FROM sessionize.risk_rules AS own
                                                 WHERE own.app_id = rules_of.app_id AND own.name = rule.name))
       AND NOT (rule.shipped AND EXISTS (SELECT FROM sessionize.risk_rules AS changed
                                          WHERE NOT changed.shipped AND changed.app_id IS NULL
                                            AND (changed.rule_id = rule.rule_id OR changed.name = rule.name)));
END;
COMMENT ON FUNCTION sessionize.rules_of(integer) IS 'the rules that hold for an application';

CREATE FUNCTION sessionize.scoring(app_id integer) RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- gives for each session the rules that hold, as json objects
    SELECT format('SELECT session_facts.session_id, array_remove(ARRAY[%s]::jsonb[], NULL) AS found FROM sessionize.session_facts WHERE session_facts.session_id = ANY ($1)',
                  coalesce(string_agg(format('CASE WHEN (%s) THEN %L::jsonb END', rule.condition,
                                             jsonb_build_object('rule', rule.name, 'weight', rule.weight, 'description', rule.description)),
                                      ', ' ORDER BY rule.weight DESC, rule.name), ''))
      FROM sessionize.rules_of(scoring.app_id) AS rule;
END;
COMMENT ON FUNCTION sessionize.scoring(integer) IS 'the query that applies the rules of an application to sessions, given by their ids';

CREATE FUNCTION sessionize.name_failing_rule(app_id integer, session_ids bigint[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule sessionize.risk_rules;
BEGIN
    FOR rule IN SELECT * FROM sessionize.rules_of(app_id) ORDER BY rule_id LOOP
        BEGIN
            EXECUTE format('SELECT count(*) FILTER (WHERE (%s)) FROM sessionize.session_facts WHERE session_facts.session_id = ANY ($1)', rule.condition)
              USING session_ids;
        EXCEPTION WHEN OTHERS THEN
            RAISE EXCEPTION 'rule "%" cannot be applied', rule.name
                USING ERRCODE = SQLSTATE, DETAIL = format('Condition "%s": %s.', left(rule.condition, 100), SQLERRM),
                      HINT = format('Correct the condition, or UPDATE sessionize.risk_rules SET enabled = false WHERE rule_id = %s;', rule.rule_id);
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION sessionize.name_failing_rule(integer, bigint[]) IS
    'says which rule of an application fails for some of these sessions, with the error that it makes';

CREATE FUNCTION sessionize.assess(app sessionize.apps, since timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    touched bigint[];
    scored_before bigint[];
    -- of the sessions that a rule finds, or once found: only these can change
    ids bigint[];
    findings jsonb[];
BEGIN
    PERFORM sessionize.learn_cart_norms(app.app_id);
    SELECT array_agg(session.session_id),
           array_agg(session.session_id) FILTER (WHERE session.risk <> 'normal' OR session.risk_score > 0 OR session.risk_reasons ? 'rules')
      INTO touched, scored_before
      FROM sessionize.sessions AS session
     WHERE session.app_id = app.app_id AND session.last_event_at >= since
       AND session.last_event_day >= (since AT TIME ZONE 'UTC')::date;
    BEGIN
        EXECUTE format('SELECT array_agg(judged.session_id), array_agg(to_jsonb(judged.found)) FROM (%s OFFSET 0) AS judged '
                       'WHERE judged.found <> ''{}'' OR judged.session_id = ANY ($2)', sessionize.scoring(app.app_id))
           INTO ids, findings USING touched, scored_before;
    EXCEPTION WHEN OTHERS THEN
        PERFORM sessionize.name_failing_rule(app.app_id, touched);
        RAISE;
    END;
    -- Few rows change, and they are locked without waiting: nobody can be in a deadlock with this. What somebody
    -- else is changing right now is touched, and comes up again.
    WITH changed AS MATERIALIZED (
        SELECT session.session_id, session.app_id, session.risk AS old_risk, finding.rules, finding.score,
               sessionize.risk_level(app, finding.score) AS level
          FROM (SELECT found.session_id, found.rules,
                       least(100, (SELECT coalesce(sum((rule ->> 'weight')::integer), 0) FROM jsonb_array_elements(found.rules) AS rule))::integer AS score
                  FROM unnest(ids, findings) AS found (session_id, rules)) AS finding
          JOIN sessionize.sessions AS session ON session.session_id = finding.session_id
         WHERE session.risk_score <> finding.score
            OR coalesce(session.risk_reasons -> 'rules', '[]') <> finding.rules
            OR session.risk <> coalesce(session.risk_reasons #>> '{set_by_hand,risk}', sessionize.risk_level(app, finding.score))
    ), free AS MATERIALIZED (
        SELECT session.session_id FROM sessionize.sessions AS session
         WHERE session.session_id = ANY (ARRAY(SELECT changed.session_id FROM changed))
         FOR NO KEY UPDATE SKIP LOCKED
    ), written AS (
        UPDATE sessionize.sessions AS session
           SET risk_score = changed.score,
               risk = coalesce(session.risk_reasons #>> '{set_by_hand,risk}', changed.level),
               risk_reasons = nullif(coalesce(session.risk_reasons, '{}') - 'rules'
                                     || CASE WHEN changed.rules = '[]' THEN '{}' ELSE jsonb_build_object('rules', changed.rules) END, '{}')
          FROM changed
         WHERE session.session_id = changed.session_id AND session.session_id = ANY (ARRAY(SELECT free.session_id FROM free))
        RETURNING session.session_id, session.app_id, changed.old_risk, session.risk AS new_risk, changed.rules
    )
    INSERT INTO sessionize.session_changes (session_id, app_id, what, old_value, new_value, reason)
    SELECT written.session_id, written.app_id, 'risk', written.old_risk, written.new_risk,
           (SELECT string_agg(rule ->> 'rule', ', ') FROM jsonb_array_elements(written.rules) AS rule)
      FROM written WHERE written.old_risk <> written.new_risk ORDER BY written.session_id;
    RETURN coalesce(cardinality(touched), 0);
END $$;
COMMENT ON FUNCTION sessionize.assess(sessionize.apps, timestamptz) IS
    'scores the sessions of an application that had an event since an instant';

CREATE FUNCTION assess_session_risk(app text DEFAULT NULL, since interval DEFAULT '1 day') RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF since IS NULL OR since < '0' THEN
        RAISE EXCEPTION 'period "%" is not a time to look back', coalesce(since::text, 'null')
            USING ERRCODE = CASE WHEN since IS NULL THEN '22004' ELSE '22023' END, HINT = 'Use an interval such as ''1 day''.';
    END IF;
    RETURN (SELECT coalesce(sum(sessionize.assess(known, CASE WHEN since < '6000 years' THEN now() - since ELSE '-infinity' END)), 0)
              FROM sessionize.apps AS known WHERE app IS NULL OR known.app_id = sessionize.app_id(app));
END $$;
COMMENT ON FUNCTION assess_session_risk(text, interval) IS
    'scores the sessions that had an event in the period before now by the enabled rules of sessionize.risk_rules, and gives how many; levels set by hand stay';

CREATE FUNCTION visitor_risk(app text, visitor text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    levels constant text[] := '{normal,monitored,review,restricted}';
    wanted constant integer := sessionize.app_id($1);
BEGIN
    RETURN levels[(SELECT coalesce(max(array_position(levels, recent.risk)), 1)
                     FROM sessionize.apps AS known,
                          -- one application after the other through the index
                          LATERAL (SELECT session.risk FROM sessionize.sessions AS session
                                    WHERE session.app_id = known.app_id AND session.visitor = $2 AND session.expires_at > now() OFFSET 0) AS recent
                    WHERE wanted IS NULL OR known.app_id = wanted)];
END $$;
COMMENT ON FUNCTION visitor_risk(text, text) IS
    'the highest risk level of a visitor''s sessions that have not expired; normal if there are none';
