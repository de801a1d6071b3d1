-- Before town.sql: the months of three years, as a town that has kept its history by month from its beginning has them.

DO $$
DECLARE
    kept text;
    part text;
    month timestamp;
BEGIN
    FOREACH kept IN ARRAY ARRAY['event', 'effect', 'attempt'] LOOP
        EXECUTE format('DROP TABLE %I', kept || '_first');
        FOR month IN
            SELECT generate_series(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '38 months',
                                   date_trunc('month', now() AT TIME ZONE 'UTC'), interval '1 month')
        LOOP
            part := kept || to_char(month, '_YYYY_MM');
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, kept,
                (lpad(to_hex((extract(epoch FROM month AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
                 || repeat('0', 20))::uuid,
                (lpad(to_hex((extract(epoch FROM (month + interval '1 month') AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
                 || repeat('0', 20))::uuid);
        END LOOP;
    END LOOP;
END
$$;
