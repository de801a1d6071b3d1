"""Keep events, effects and attempts by month

Revision 0008, after 0007. Events lie together by the month in which their case began, effects and attempts by that
of the effect: keys are UUIDv7, so a month is a range of them. What there is becomes the first part, of all before
next month, as it stands: nothing is copied. Only two indexes of events and one of attempts are made anew, about a
second per million rows, in which whoever writes waits.

An index reaches no further than its month. So nothing guards any more that `event.seq`, `event.id`, `effect.seq` and
`attempt.id` are unique over all months: the numbers are given by the database alone (GENERATED ALWAYS), the ids are
UUIDv7, and what must be refused, two events of the same version of a case, lies in one month.

Processes of the version before read and write these tables under the same names as ever.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Those that write take such locks one by one and may wait for each other: so ours are taken all or none.
LOCKED = """
    DO $$
    BEGIN
        FOR attempt IN 1..240 LOOP
            BEGIN
                PERFORM set_config('lock_timeout', '500ms', true);
                LOCK TABLE person, "case" IN SHARE ROW EXCLUSIVE MODE;
                LOCK TABLE event, effect, attempt IN ACCESS EXCLUSIVE MODE;
                PERFORM set_config('lock_timeout', '0', true);
                RETURN;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                PERFORM pg_sleep(0.25);
            END;
        END LOOP;
        RAISE EXCEPTION 'the tables of events and effects could not be locked: somebody holds them';
    END $$
"""
NEXT_MONTH = """
    CREATE FUNCTION pg_temp.next_month() RETURNS uuid STABLE LANGUAGE sql AS $$
        SELECT (lpad(to_hex((extract(epoch FROM (date_trunc('month', now() AT TIME ZONE 'UTC')
                             + interval '1 month') AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
                || repeat('0', 20))::uuid
    $$
"""
# What has a key that is no UUIDv7, such as revision 0004 gave, has no month either: it lies in the default part.
# The check lets the part change hands without a look at its rows.
ATTACHED = """
    DO $$
    DECLARE bound uuid := pg_temp.next_month();
    BEGIN
        CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;
        WITH moved AS (DELETE FROM {table}_first WHERE {key} >= bound RETURNING *)
        INSERT INTO {table}_default {overriding} SELECT * FROM moved;
        EXECUTE format('ALTER TABLE {table}_first ADD CONSTRAINT {table}_first_month CHECK ({key} < %L)', bound);
        EXECUTE format('ALTER TABLE {table} ATTACH PARTITION {table}_first FOR VALUES FROM (MINVALUE) TO (%L)',
                       bound);
    END $$
"""
# numbers go on where they were
NUMBERED = """
    DO $$
    DECLARE last bigint := (SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM {table}_seq_seq);
    BEGIN
        ALTER TABLE {table}_first ALTER seq DROP IDENTITY;
        CREATE TABLE {table} (LIKE {table}_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
            PARTITION BY RANGE ({key});
        ALTER TABLE {table} ALTER seq ADD GENERATED ALWAYS AS IDENTITY;
        PERFORM setval('{table}_seq_seq', last, false);
    END $$
"""

EVENT = (
    "ALTER TABLE event RENAME TO event_first",
    NUMBERED.format(table="event", key="case_id"),
    "ALTER TABLE event_first DROP CONSTRAINT event_pkey, DROP CONSTRAINT event_id_key",
    "DROP INDEX event_of_case",
    "ALTER INDEX event_feed RENAME TO event_first_feed",
    "ALTER INDEX event_of_person RENAME TO event_first_of_person",
    "ALTER TABLE event_first RENAME CONSTRAINT event_case_id_case_version_key TO event_first_version",
    "ALTER TABLE event_first ADD CONSTRAINT event_first_pkey PRIMARY KEY (case_id, seq)",
    "ALTER TABLE event ADD PRIMARY KEY (case_id, seq), ADD UNIQUE (case_id, case_version)",
    'ALTER TABLE event ADD CONSTRAINT event_case_id_fkey FOREIGN KEY (case_id) REFERENCES "case" (id)',
    "ALTER TABLE event ADD CONSTRAINT event_person_id_fkey FOREIGN KEY (person_id) REFERENCES person (id)",
    "CREATE INDEX event_feed ON event (xid, seq)",
    "CREATE INDEX event_of_person ON event (person_id, seq)",
    "CREATE INDEX event_by_id ON event (id)",
    ATTACHED.format(table="event", key="case_id", overriding="OVERRIDING SYSTEM VALUE"),
)
OPEN = "state IN ('PENDING', 'PARKED', 'IN_DOUBT')"
FAILED = "state IN ('PARKED', 'IN_DOUBT')"
EFFECT = (
    "ALTER TABLE attempt DROP CONSTRAINT attempt_effect_id_fkey",
    "ALTER TABLE effect RENAME TO effect_first",
    NUMBERED.format(table="effect", key="id"),
    "ALTER TABLE effect_first DROP CONSTRAINT effect_seq_key",
    "ALTER INDEX effect_open RENAME TO effect_first_open",
    "ALTER INDEX effect_failed RENAME TO effect_first_failed",
    "ALTER INDEX effect_of_case RENAME TO effect_first_of_case",
    "ALTER TABLE effect_first RENAME CONSTRAINT effect_pkey TO effect_first_pkey",
    "ALTER TABLE effect ADD PRIMARY KEY (id)",
    'ALTER TABLE effect ADD CONSTRAINT effect_case_id_fkey FOREIGN KEY (case_id) REFERENCES "case" (id)',
    f"CREATE INDEX effect_open ON effect (lane, seq) WHERE {OPEN}",
    f"CREATE INDEX effect_failed ON effect (system, seq) WHERE {FAILED}",
    "CREATE INDEX effect_of_case ON effect (case_id, seq)",
    ATTACHED.format(table="effect", key="id", overriding="OVERRIDING SYSTEM VALUE"),
)
ATTEMPT = (
    "ALTER TABLE attempt RENAME TO attempt_first",
    "CREATE TABLE attempt (LIKE attempt_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    " PARTITION BY RANGE (effect_id)",
    "ALTER TABLE attempt_first DROP CONSTRAINT attempt_pkey",
    "ALTER INDEX ix_attempt_effect_id RENAME TO attempt_first_of_effect",
    "ALTER TABLE attempt_first ADD CONSTRAINT attempt_first_pkey PRIMARY KEY (id, effect_id)",
    "ALTER TABLE attempt ADD PRIMARY KEY (id, effect_id)",
    "CREATE INDEX ix_attempt_effect_id ON attempt (effect_id)",
    ATTACHED.format(table="attempt", key="effect_id", overriding=""),
)
ARCHIVE = (
    "CREATE TABLE effectarchive (LIKE effect) PARTITION BY RANGE (id)",
    "ALTER TABLE effectarchive ADD PRIMARY KEY (id)",
    "CREATE INDEX effectarchive_of_case ON effectarchive (case_id, seq)",
    "CREATE TABLE attemptarchive (LIKE attempt) PARTITION BY RANGE (effect_id)",
    "ALTER TABLE attemptarchive ADD PRIMARY KEY (id, effect_id)",
    "CREATE INDEX ix_attemptarchive_effect_id ON attemptarchive (effect_id)",
    "CREATE VIEW everyeffect AS SELECT * FROM effect UNION ALL SELECT * FROM effectarchive",
    "CREATE VIEW everyattempt AS SELECT * FROM attempt UNION ALL SELECT * FROM attemptarchive",
)


def upgrade() -> None:
    op.execute(LOCKED)
    op.execute(NEXT_MONTH)
    for statement in (*EVENT, *EFFECT, *ATTEMPT, *ARCHIVE):
        op.execute(statement)
    op.execute("DROP FUNCTION pg_temp.next_month()")
    op.execute("ALTER TABLE feedepoch ADD COLUMN floor_xid xid8 DEFAULT '0' NOT NULL")


def downgrade() -> None:
    """Everything into one table each, the archive too: rows are copied, and whoever writes waits for it."""
    op.execute(LOCKED)
    for statement in TOGETHER:
        op.execute(statement)
    op.execute("ALTER TABLE feedepoch DROP COLUMN floor_xid")


# the same the other way round; of a table that is gone, its sequence, indexes and parts are gone with it
ONE_TABLE = """
    DO $$
    DECLARE last bigint := (SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM {table}_seq_seq);
    BEGIN
        ALTER TABLE {table} ALTER seq DROP IDENTITY;
        ALTER TABLE {table} RENAME TO {table}_parts;
        CREATE TABLE {table} (LIKE {table}_parts INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
        INSERT INTO {table} SELECT * FROM {rows};
        ALTER TABLE {table} ALTER seq ADD GENERATED ALWAYS AS IDENTITY;
        PERFORM setval('{table}_seq_seq', last, false);
    END $$
"""
TOGETHER = (
    "DROP VIEW everyattempt",
    "ALTER VIEW everyeffect RENAME TO effect_all",
    ONE_TABLE.format(table="event", rows="event_parts"),
    "DROP TABLE event_parts",
    "ALTER TABLE event ADD PRIMARY KEY (seq), ADD UNIQUE (id), ADD UNIQUE (case_id, case_version)",
    'ALTER TABLE event ADD FOREIGN KEY (case_id) REFERENCES "case" (id)',
    "ALTER TABLE event ADD FOREIGN KEY (person_id) REFERENCES person (id)",
    "CREATE INDEX event_feed ON event (xid, seq)",
    "CREATE INDEX event_of_case ON event (case_id, seq)",
    "CREATE INDEX event_of_person ON event (person_id, seq)",
    ONE_TABLE.format(table="effect", rows="effect_all"),
    "DROP VIEW effect_all",
    "DROP TABLE effect_parts, effectarchive",
    "ALTER TABLE effect ADD PRIMARY KEY (id), ADD UNIQUE (seq)",
    'ALTER TABLE effect ADD FOREIGN KEY (case_id) REFERENCES "case" (id)',
    f"CREATE INDEX effect_open ON effect (lane, seq) WHERE {OPEN}",
    f"CREATE INDEX effect_failed ON effect (system, seq) WHERE {FAILED}",
    "CREATE INDEX effect_of_case ON effect (case_id, seq)",
    "ALTER TABLE attempt RENAME TO attempt_parts",
    "CREATE TABLE attempt (LIKE attempt_parts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
    "INSERT INTO attempt SELECT * FROM attempt_parts UNION ALL SELECT * FROM attemptarchive",
    "DROP TABLE attempt_parts, attemptarchive",
    "ALTER TABLE attempt ADD PRIMARY KEY (id), ADD FOREIGN KEY (effect_id) REFERENCES effect (id)",
    "CREATE INDEX ix_attempt_effect_id ON attempt (effect_id)",
)
