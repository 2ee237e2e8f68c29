-- Records, logs and jobs in place of a table for each thing.
CREATE TABLE record (
    space      TEXT NOT NULL,
    owner      TEXT NOT NULL,
    id         TEXT NOT NULL,
    weight     INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    stamp_ms   INTEGER NOT NULL,
    -- The greatest number if never.
    expires_ms INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (space, owner, id)
) STRICT;
CREATE INDEX record_by_stamp ON record (space, stamp_ms, id);
CREATE INDEX record_by_owner ON record (space, owner, stamp_ms, id);
CREATE INDEX record_by_end ON record (expires_ms) WHERE expires_ms < 9223372036854775807;

-- Entries beside a record. A row of a log is small or a chunk of 256 KiB.
CREATE TABLE log (
    space  TEXT NOT NULL,
    owner  TEXT NOT NULL,
    id     TEXT NOT NULL,
    number INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (space, owner, id, number)
) STRICT;

-- What a space holds of one owner, or of everyone (then the owner is empty). Asked at each put, it
-- must not cost a scan.
CREATE TABLE total (
    space    TEXT NOT NULL,
    everyone INTEGER NOT NULL,
    owner    TEXT NOT NULL,
    records  INTEGER NOT NULL,
    weight   INTEGER NOT NULL,
    PRIMARY KEY (space, everyone, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id           TEXT PRIMARY KEY,
    principal    TEXT NOT NULL,
    tenant       TEXT NOT NULL,
    state        TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    -- When it may begin, or when its lease ends.
    visible_ms   INTEGER NOT NULL,
    worker       TEXT NOT NULL DEFAULT '',
    cancel       INTEGER NOT NULL DEFAULT 0,
    -- Whether it was revived while it ran.
    revived      INTEGER NOT NULL DEFAULT 0,
    progress     TEXT NOT NULL DEFAULT '',
    result       BLOB NOT NULL DEFAULT x'',
    error        TEXT NOT NULL DEFAULT '',
    created_ms   INTEGER NOT NULL,
    finished_ms  INTEGER NOT NULL DEFAULT 0,
    body         BLOB NOT NULL
) STRICT;
CREATE INDEX job_first ON job (tenant, priority DESC, visible_ms, id) WHERE state = 'queued';
CREATE INDEX job_due ON job (visible_ms) WHERE state = 'queued';
CREATE INDEX job_lapsing ON job (visible_ms, tenant) WHERE state = 'running';
CREATE INDEX job_by_age ON job (created_ms, id);
CREATE INDEX job_by_principal ON job (principal, created_ms, id);
CREATE INDEX job_by_state ON job (state, created_ms, id);
CREATE INDEX job_over ON job (finished_ms) WHERE finished_ms > 0;

-- What there was.
INSERT INTO record (space, owner, id, weight, version, stamp_ms, expires_ms, body)
    SELECT 'artifact', owner, id, bytes, 1, created_at * 1000, expires_at * 1000, CAST(mime AS BLOB)
    FROM artifact;
INSERT INTO log (space, owner, id, number, body)
    SELECT 'artifact', artifact.owner, artifact.id, artifact_chunk.number, artifact_chunk.body
    FROM artifact JOIN artifact_chunk ON artifact_chunk.artifact = artifact.id;
INSERT INTO record (space, owner, id, weight, version, stamp_ms, expires_ms, body)
    SELECT 'observed', server, tool, length(CAST(shape AS BLOB)), 1, seen_at * 1000,
        9223372036854775807, CAST(shape AS BLOB)
    FROM observed;
INSERT INTO record (space, owner, id, weight, version, stamp_ms, expires_ms, body)
    SELECT 'usage', server, tool, calls, 1, used_at * 1000, 9223372036854775807, x''
    FROM usage;
INSERT INTO record (space, owner, id, weight, version, stamp_ms, expires_ms, body)
    SELECT 'run', principal, id, length(body), 1, started_at_ms, 9223372036854775807, body
    FROM (SELECT principal, id, started_at_ms, CAST(json_object('run', id,
        'principal', principal, 'state', ending, 'language', language,
        'started_at_ms', started_at_ms, 'wall_us', wall_us, 'cpu_us', cpu_us,
        'calls', CASE WHEN json_valid(calls) THEN json_array_length(calls) ELSE 0 END,
        'executions', 1, 'durability', 'off') AS BLOB) AS body
        FROM run);
INSERT INTO total (space, everyone, owner, records, weight)
    SELECT space, 0, owner, count(*), sum(weight) FROM record GROUP BY space, owner;
INSERT INTO total (space, everyone, owner, records, weight)
    SELECT space, 1, '', count(*), sum(weight) FROM record GROUP BY space;

DROP TABLE artifact_chunk;
DROP TABLE artifact;
DROP TABLE artifact_total;
DROP TABLE observed;
DROP TABLE usage;
DROP TABLE run;
