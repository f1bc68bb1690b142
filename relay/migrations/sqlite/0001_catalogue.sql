-- The catalogue on SQLite. Times are milliseconds since 1970, flags 0 or 1, ids and digests their
-- bytes, attributes and details JSON text. Names compare by their bytes.

-- 'agents' counts changes of agents and rules, 'jobs' the jobs ever opened.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO counters (name, value) VALUES ('agents', 0), ('jobs', 0);

CREATE TABLE agents (
    name TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    generation INTEGER NOT NULL,
    bound_key BLOB,
    session_key_hash BLOB,
    token_hash BLOB NOT NULL,
    token_expires_ms INTEGER NOT NULL,
    token_used_ms INTEGER,
    added_ms INTEGER NOT NULL,
    enrolled_ms INTEGER,
    revoked_ms INTEGER,
    last_seen_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_rules (
    agent TEXT NOT NULL REFERENCES agents (name),
    position INTEGER NOT NULL,
    operations TEXT NOT NULL,
    planes TEXT NOT NULL,
    scope TEXT NOT NULL,
    PRIMARY KEY (agent, position)
) STRICT, WITHOUT ROWID;

-- litter: 0 nothing left, 1 rows of job_parts to forget, 2 staged bytes to collect first.
CREATE TABLE jobs (
    job BLOB NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    wuid TEXT NOT NULL,
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    plane TEXT NOT NULL,
    target TEXT NOT NULL,
    parts_asked INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    overwrite INTEGER NOT NULL,
    plan BLOB NOT NULL,
    attributes TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    chunk_size INTEGER NOT NULL,
    dir_per_part INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    lfn_hash INTEGER NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    opened_ms INTEGER NOT NULL,
    touched_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    bytes_durable INTEGER NOT NULL,
    generation INTEGER,
    receipt BLOB,
    litter INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX jobs_number ON jobs (number);
CREATE UNIQUE INDEX jobs_wuid ON jobs (wuid);
CREATE INDEX jobs_state ON jobs (state, touched_ms);
CREATE INDEX jobs_litter ON jobs (litter, number) WHERE litter > 0;

CREATE TABLE job_parts (
    job BLOB NOT NULL REFERENCES jobs (job),
    part INTEGER NOT NULL,
    state TEXT NOT NULL,
    path TEXT,
    length INTEGER,
    modified_ns INTEGER,
    tree BLOB,
    digest BLOB,
    crc32 INTEGER,
    records INTEGER,
    PRIMARY KEY (job, part)
) STRICT;

CREATE INDEX job_parts_pending ON job_parts (path) WHERE path IS NOT NULL AND state <> 'committed';

-- One row for every name that is, was or is about to be; only those with a current generation show.
CREATE TABLE logical_files (
    plane TEXT NOT NULL,
    name TEXT NOT NULL,
    current INTEGER,
    last INTEGER NOT NULL,
    holder BLOB,
    PRIMARY KEY (plane, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX logical_files_shown ON logical_files (plane, name) WHERE current IS NOT NULL;

CREATE TABLE generations (
    plane TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    job BLOB NOT NULL,
    wuid TEXT NOT NULL,
    agent TEXT NOT NULL,
    parts INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    records INTEGER,
    committed_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    attributes TEXT NOT NULL,
    dir_per_part INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    lfn_hash INTEGER NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (plane, name, generation)
) STRICT;

-- Only parts of live generations: what is replaced or removed moves to discards.
CREATE TABLE generation_parts (
    plane TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    part INTEGER NOT NULL,
    path TEXT NOT NULL,
    length INTEGER NOT NULL,
    digest BLOB NOT NULL,
    crc32 INTEGER NOT NULL,
    records INTEGER,
    PRIMARY KEY (plane, name, generation, part)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX generation_parts_path ON generation_parts (plane, path);

CREATE TABLE plane_files (
    plane TEXT NOT NULL,
    path TEXT NOT NULL,
    length INTEGER NOT NULL,
    digest BLOB NOT NULL,
    crc32 INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    committed_ms INTEGER NOT NULL,
    job BLOB NOT NULL,
    agent TEXT NOT NULL,
    PRIMARY KEY (plane, path)
) STRICT, WITHOUT ROWID;

-- Stored files nothing names any more. claimed_ms: when somebody set out to delete the file.
CREATE TABLE discards (
    plane TEXT NOT NULL,
    path TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    length INTEGER NOT NULL,
    digest BLOB NOT NULL,
    claimed_ms INTEGER,
    PRIMARY KEY (plane, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX discards_age ON discards (plane, since_ms, path);

CREATE TABLE audit (
    seq INTEGER NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    agent TEXT,
    event TEXT NOT NULL,
    job BLOB,
    plane TEXT,
    target TEXT,
    result TEXT NOT NULL,
    detail TEXT NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- The number and hash of the last line: writers queue here, and a cut tail shows.
CREATE TABLE audit_head (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, zeroblob(32));
