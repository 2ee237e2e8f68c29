-- Artifacts. The body lies apart in chunks, so that reading a part costs the part only.
CREATE TABLE artifact (
    id         TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    mime       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_by_owner ON artifact (owner, created_at DESC);
CREATE INDEX artifact_by_age ON artifact (created_at, id, bytes);
CREATE INDEX artifact_by_end ON artifact (expires_at);

CREATE TABLE artifact_chunk (
    artifact TEXT NOT NULL REFERENCES artifact (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (artifact, number)
) STRICT;

-- The sum over all artifacts, kept by triggers: asked at each put, it must not cost a scan.
CREATE TABLE artifact_total (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO artifact_total (one, bytes) VALUES (1, 0);
CREATE TRIGGER artifact_counted AFTER INSERT ON artifact BEGIN
    UPDATE artifact_total SET bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER artifact_discounted AFTER DELETE ON artifact BEGIN
    UPDATE artifact_total SET bytes = bytes - OLD.bytes;
END;

-- Shapes of results that were seen, for tools that declare none.
CREATE TABLE observed (
    server  TEXT NOT NULL,
    tool    TEXT NOT NULL,
    shape   TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT, WITHOUT ROWID;
CREATE INDEX observed_by_age ON observed (seen_at);

-- One row for each run.
CREATE TABLE run (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    principal     TEXT NOT NULL,
    language      TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    wall_us       INTEGER NOT NULL,
    cpu_us        INTEGER NOT NULL,
    ending        TEXT NOT NULL,
    calls         TEXT NOT NULL
) STRICT;
-- How often each tool was called: the ones used most are listed in hybrid mode.
CREATE TABLE usage (
    server  TEXT NOT NULL,
    tool    TEXT NOT NULL,
    calls   INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;

-- What was written.
INSERT INTO artifact (id, owner, mime, bytes, created_at, expires_at) VALUES
    ('art_one', 'ann', 'application/json', 262147, 1700000000, 1700086400),
    ('art_two', 'ann', 'text/plain', 0, 1700000001, 1700086401),
    ('art_old', 'bob', 'text/plain', 2, 1600000000, 1600086400);
INSERT INTO artifact_chunk (artifact, number, body) VALUES
    ('art_one', 0, CAST(replace(hex(zeroblob(131072)), '0', char(1)) AS BLOB)),
    ('art_one', 1, x'020202'),
    ('art_old', 0, x'6f6b');
INSERT INTO observed (server, tool, shape, seen_at) VALUES
    ('git', 'log', '{}', 1700000000),
    ('git', 'diff', '{"é":"string"}', 1700000001);
INSERT INTO usage (server, tool, calls, used_at) VALUES
    ('git', 'log', 42, 1700000000),
    ('svn', 'log', 1, 1700000001);
INSERT INTO run (id, principal, language, started_at_ms, wall_us, cpu_us, ending, calls) VALUES
    ('run_a', 'ann', 'typescript', 1700000000123, 7, 3, 'returned', '[{"server":"it''s"}]'),
    ('run_b', 'ann', 'python', 1700000001000, 7, 3, 'threw', '[{"server":"it''s"}]');
