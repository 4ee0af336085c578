-- What a rule about risk can ask of a session.

CREATE TABLE sessionize.cart_norms (
    app_id integer NOT NULL,
    currency text NOT NULL,
    carts bigint NOT NULL,
    median numeric NOT NULL,
    deviation numeric NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, currency)
);
COMMENT ON TABLE sessionize.cart_norms IS
    'what carts of an application are usually worth: median and median absolute deviation of recent ones, by currency; assess_session_risk() keeps it';

CREATE FUNCTION sessionize.learn_cart_norms(app_id integer) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO sessionize.cart_norms AS norm (app_id, currency, carts, median, deviation)
    SELECT learn_cart_norms.app_id, middle.currency, middle.carts, middle.median,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(value - middle.median))
      FROM (SELECT coalesce(recent.currency, '') AS currency, count(*) AS carts, array_agg(recent.cart_value) AS cart_values,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY recent.cart_value::double precision)::numeric AS median
              FROM (SELECT session.currency, session.cart_value FROM sessionize.sessions AS session
                     WHERE session.app_id = learn_cart_norms.app_id
                     ORDER BY session.started_at DESC LIMIT 50000) AS recent
             -- what no cart is worth says nothing of carts, and need not fit into double precision
             WHERE recent.cart_value BETWEEN 1e-9 AND 1e15 GROUP BY 1) AS middle,
           unnest(middle.cart_values) AS value
     WHERE middle.carts >= 30
     GROUP BY middle.currency, middle.carts, middle.median
    ON CONFLICT ON CONSTRAINT cart_norms_pkey
    DO UPDATE SET carts = excluded.carts, median = excluded.median, deviation = excluded.deviation, computed_at = now();
END;
COMMENT ON FUNCTION sessionize.learn_cart_norms(integer) IS
    'what the newest 50,000 sessions of an application say of its carts; fewer than 30 carts of a currency say nothing';

CREATE VIEW sessionize.session_facts AS
SELECT session.session_id, app.name AS app, session.visitor, session.customer, session.ip, session.country, session.channel,
       session.started_at, session.last_event_at, session.event_count, session.passive_count, session.late_count,
       round(extract(epoch FROM session.last_event_at - session.started_at), 3) AS duration_seconds,
       round(60 * (session.event_count - 1) / greatest(extract(epoch FROM session.last_event_at - session.started_at), 1), 1) AS events_per_minute,
       session.cart_items, session.cart_value, session.currency,
       session.converted_at IS NOT NULL AS converted,
       session.cancelled_at IS NOT NULL AS cancelled,
       (SELECT count(*) FROM (SELECT FROM sessionize.sessions AS other
                               WHERE other.app_id = session.app_id AND other.ip = session.ip
                                 AND other.started_at BETWEEN sessionize.earlier(session.started_at, '24 hours') AND sessionize.later(session.started_at, '24 hours')
                               LIMIT 100) AS others) AS sessions_of_ip_in_a_day,
       (SELECT count(*) FILTER (WHERE others.cart_items > 0)
          FROM (SELECT other.cart_items FROM sessionize.sessions AS other
                 WHERE other.app_id = session.app_id AND other.ip = session.ip
                   AND other.started_at BETWEEN sessionize.earlier(session.started_at, '24 hours') AND sessionize.later(session.started_at, '24 hours')
                 ORDER BY other.started_at LIMIT 100) AS others) AS carts_of_ip_in_a_day,
       history.sessions_in_a_day AS sessions_of_visitor_in_a_day,
       -- most visitors come once a day: counting different values is dear
       CASE history.sessions_in_a_day WHEN 1 THEN num_nonnulls(session.country)::bigint ELSE
           (SELECT count(DISTINCT past.country)
              FROM (SELECT other.country FROM sessionize.sessions AS other
                     WHERE other.app_id = session.app_id AND other.visitor = session.visitor
                       AND other.started_at BETWEEN sessionize.earlier(session.started_at, '24 hours') AND session.started_at
                     ORDER BY other.started_at DESC LIMIT 100) AS past) END AS countries_of_visitor_in_a_day,
       history.carts AS carts_of_visitor,
       history.conversions AS conversions_of_visitor,
       history.cancellations AS cancellations_of_visitor,
       history.restricted_before,
       CASE WHEN session.cart_value IS NOT NULL THEN
           -- within bounds, in which whatever an event says can be divided
           (SELECT round((least(greatest(session.cart_value, -1e100), 1e100) - norm.median) / greatest(1.4826 * norm.deviation, 0.05 * norm.median), 1)
              FROM sessionize.cart_norms AS norm
             WHERE norm.app_id = session.app_id AND norm.currency = coalesce(session.currency, '')) END AS cart_value_deviation
  FROM sessionize.sessions AS session
  JOIN sessionize.apps AS app ON app.app_id = session.app_id,
       LATERAL (SELECT count(*) FILTER (WHERE past.started_at >= sessionize.earlier(session.started_at, '24 hours')) AS sessions_in_a_day,
                       count(*) FILTER (WHERE past.cart_items > 0) AS carts,
                       count(past.converted_at) AS conversions,
                       count(past.cancelled_at) AS cancellations,
                       coalesce(bool_or(past.risk = 'restricted' AND past.session_id <> session.session_id), false) AS restricted_before
                  FROM (SELECT other.* FROM sessionize.sessions AS other
                         WHERE other.app_id = session.app_id AND other.visitor = session.visitor
                           AND other.started_at BETWEEN sessionize.earlier(session.started_at, '720 hours') AND session.started_at
                         ORDER BY other.started_at DESC LIMIT 100) AS past) AS history;
COMMENT ON VIEW sessionize.session_facts IS 'what conditions of sessionize.risk_rules can ask of a session';
COMMENT ON COLUMN sessionize.session_facts.events_per_minute IS 'how fast events followed the first one; a session counts as at least a second long';
COMMENT ON COLUMN sessionize.session_facts.sessions_of_ip_in_a_day IS 'sessions of the application from the same address that started within 24 hours before or after this one, which is included; up to 100';
COMMENT ON COLUMN sessionize.session_facts.carts_of_ip_in_a_day IS 'those of these sessions that have a cart';
COMMENT ON COLUMN sessionize.session_facts.sessions_of_visitor_in_a_day IS 'sessions of the visitor that started in the 24 hours up to this one''s start, this one included; up to 100';
COMMENT ON COLUMN sessionize.session_facts.countries_of_visitor_in_a_day IS 'different countries of those sessions';
COMMENT ON COLUMN sessionize.session_facts.carts_of_visitor IS 'sessions with a cart among the visitor''s last 100 of 30 days, this one included';
COMMENT ON COLUMN sessionize.session_facts.conversions_of_visitor IS 'converted ones among them';
COMMENT ON COLUMN sessionize.session_facts.cancellations_of_visitor IS 'cancelled ones among them';
COMMENT ON COLUMN sessionize.session_facts.restricted_before IS 'whether an earlier one of them is restricted';
COMMENT ON COLUMN sessionize.session_facts.cart_value_deviation IS
    'how far the cart''s value lies above the median of the application and currency, in robust standard deviations (1.4826 times the median absolute deviation); NULL where too few carts are known';

SELECT pg_catalog.pg_extension_config_dump('sessionize.cart_norms', '');
