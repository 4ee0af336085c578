-- Values as people read them. Characters beyond ASCII are numbers here: the script must load in any encoding.

CREATE FUNCTION sessionize.flag(country text) RETURNS text
    AS 'MODULE_PATHNAME', 'sessionize_flag' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sessionize.flag(text) IS 'the flag of a two-letter country code; NULL for what is no country';

CREATE FUNCTION sessionize.country_code(country text) RETURNS text
    AS 'MODULE_PATHNAME', 'sessionize_country_code' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sessionize.country_code(text) IS
    'the two-letter code of a country given by code or English name, in any case; NULL for what is no country';

CREATE FUNCTION sessionize.cart_text(items integer, value text, currency text) RETURNS text
    AS 'MODULE_PATHNAME', 'sessionize_cart_text' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION sessionize.cart_text(integer, text, text) IS
    'a cart as in "2 items", a middle dot and "3,124.75 USD", with the decimals of the currency; NULL without items and value';

CREATE FUNCTION sessionize.time_ago(instant timestamptz, now timestamptz) RETURNS text
    AS 'MODULE_PATHNAME', 'sessionize_time_ago' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sessionize.time_ago(timestamptz, timestamptz) IS 'a distance in time as in "33m ago" or "in 5m"';

CREATE FUNCTION sessionize.short_token(token text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN length(token) > 12 THEN left(token, 11) || chr(8230) ELSE token END;
END;
COMMENT ON FUNCTION sessionize.short_token(text) IS 'the first 11 characters of a longer token, and an ellipsis';

CREATE FUNCTION sessionize.session_icon(cart_items integer, customer text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN cart_items > 0 THEN chr(128722) WHEN customer IS NOT NULL THEN chr(128100) ELSE chr(128065) END;
END;
COMMENT ON FUNCTION sessionize.session_icon(integer, text) IS
    'what type of session it is: a cart, a bust for a known customer, an eye for somebody who looks around';

CREATE FUNCTION sessionize.status_color(status text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE status WHEN 'active' THEN 'blue' WHEN 'converted' THEN 'green' WHEN 'expired' THEN 'amber'
                       WHEN 'cancelled' THEN 'gray' WHEN 'closed' THEN 'slate' END;
END;
COMMENT ON FUNCTION sessionize.status_color(text) IS 'the colour of a status badge';

CREATE FUNCTION sessionize.write_cursor(query text, started_at timestamptz, session_id bigint) RETURNS text
    AS 'MODULE_PATHNAME', 'sessionize_write_cursor' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sessionize.write_cursor(text, timestamptz, bigint) IS
    'where a page of a list ends, as an opaque text that fits the query that is described by a text';

CREATE FUNCTION sessionize.read_cursor(query text, cursor text, OUT started_at timestamptz, OUT session_id bigint)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'sessionize_read_cursor' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION sessionize.read_cursor(text, text) IS
    'the place that a cursor stands for; no row if it is made up or of another query';
