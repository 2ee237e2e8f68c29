-- Records, logs, jobs: what the tables mean stands beside SQLite's, migrations/0003_records.sql.
-- Texts are ordered by their bytes, as everywhere else.
CREATE TABLE record (
    space      TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    weight     BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    stamp_ms   BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    PRIMARY KEY (space, owner, id)
);
CREATE INDEX record_by_stamp ON record (space, stamp_ms, id);
CREATE INDEX record_by_owner ON record (space, owner, stamp_ms, id);
CREATE INDEX record_by_end ON record (expires_ms) WHERE expires_ms < 9223372036854775807;

CREATE TABLE log (
    space  TEXT COLLATE "C" NOT NULL,
    owner  TEXT COLLATE "C" NOT NULL,
    id     TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    body   BYTEA NOT NULL,
    PRIMARY KEY (space, owner, id, number)
);

CREATE TABLE total (
    space    TEXT COLLATE "C" NOT NULL,
    everyone BIGINT NOT NULL,
    owner    TEXT COLLATE "C" NOT NULL,
    records  BIGINT NOT NULL,
    weight   BIGINT NOT NULL,
    PRIMARY KEY (space, everyone, owner)
) WITH (fillfactor = 50);

CREATE TABLE job (
    id           TEXT COLLATE "C" PRIMARY KEY,
    principal    TEXT COLLATE "C" NOT NULL,
    tenant       TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    attempt      BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    priority     BIGINT NOT NULL,
    visible_ms   BIGINT NOT NULL,
    worker       TEXT NOT NULL DEFAULT '',
    cancel       BIGINT NOT NULL DEFAULT 0,
    revived      BIGINT NOT NULL DEFAULT 0,
    progress     TEXT NOT NULL DEFAULT '',
    result       BYTEA NOT NULL DEFAULT '',
    error        TEXT NOT NULL DEFAULT '',
    created_ms   BIGINT NOT NULL,
    finished_ms  BIGINT NOT NULL DEFAULT 0,
    body         BYTEA NOT NULL
);
-- Rows change state a few times and are gone: cleaned often, the indexes stay small.
ALTER TABLE job SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX job_first ON job (tenant, priority DESC, visible_ms, id) WHERE state = 'queued';
CREATE INDEX job_due ON job (visible_ms) WHERE state = 'queued';
CREATE INDEX job_lapsing ON job (visible_ms, tenant) WHERE state = 'running';
CREATE INDEX job_by_age ON job (created_ms, id);
CREATE INDEX job_by_principal ON job (principal, created_ms, id);
CREATE INDEX job_by_state ON job (state, created_ms, id);
CREATE INDEX job_over ON job (finished_ms) WHERE finished_ms > 0;
