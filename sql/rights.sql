-- Who may do what. Comes last: it names what the other files made.

-- Writing events needs no right here: the triggers write sessions as their owner.
REVOKE ALL ON SCHEMA sessionize FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA sessionize FROM PUBLIC;
