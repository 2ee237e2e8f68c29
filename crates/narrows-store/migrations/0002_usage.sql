-- How often each tool was called: the ones used most are listed in hybrid mode.
CREATE TABLE usage (
    server  TEXT NOT NULL,
    tool    TEXT NOT NULL,
    calls   INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT, WITHOUT ROWID;
