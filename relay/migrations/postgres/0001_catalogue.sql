-- The catalogue on PostgreSQL. Times are milliseconds since 1970, flags 0 or 1, ids and digests their
-- bytes, attributes and details JSON text. Names, paths and ids compare by their
-- bytes, as everywhere: COLLATE "C".

-- 'agents' counts changes of agents and rules, 'jobs' the jobs ever opened.
CREATE TABLE counters (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('agents', 0), ('jobs', 0);

CREATE TABLE agents (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    generation BIGINT NOT NULL,
    bound_key BYTEA,
    session_key_hash BYTEA,
    token_hash BYTEA NOT NULL,
    token_expires_ms BIGINT NOT NULL,
    token_used_ms BIGINT,
    added_ms BIGINT NOT NULL,
    enrolled_ms BIGINT,
    revoked_ms BIGINT,
    last_seen_ms BIGINT
);

CREATE TABLE agent_rules (
    agent TEXT COLLATE "C" NOT NULL REFERENCES agents (name),
    position BIGINT NOT NULL,
    operations TEXT NOT NULL,
    planes TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (agent, position)
);

-- litter: 0 nothing left, 1 rows of job_parts to forget, 2 staged bytes to collect first.
CREATE TABLE jobs (
    job BYTEA NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    wuid TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL,
    plane TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    parts_asked BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    overwrite BIGINT NOT NULL,
    plan BYTEA NOT NULL,
    attributes TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    chunk_size BIGINT NOT NULL,
    dir_per_part BIGINT NOT NULL,
    devices BIGINT NOT NULL,
    lfn_hash BIGINT NOT NULL,
    state TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL,
    touched_ms BIGINT NOT NULL,
    finished_ms BIGINT,
    bytes_durable BIGINT NOT NULL,
    generation BIGINT,
    receipt BYTEA,
    litter BIGINT NOT NULL
);

CREATE UNIQUE INDEX jobs_number ON jobs (number);
CREATE UNIQUE INDEX jobs_wuid ON jobs (wuid);
CREATE INDEX jobs_state ON jobs (state, touched_ms);
CREATE INDEX jobs_litter ON jobs (litter, number) WHERE litter > 0;

CREATE TABLE job_parts (
    job BYTEA NOT NULL REFERENCES jobs (job),
    part BIGINT NOT NULL,
    state TEXT NOT NULL,
    path TEXT COLLATE "C",
    length BIGINT,
    modified_ns BIGINT,
    tree BYTEA,
    digest BYTEA,
    crc32 BIGINT,
    records BIGINT,
    PRIMARY KEY (job, part)
);

CREATE INDEX job_parts_pending ON job_parts (path) WHERE path IS NOT NULL AND state <> 'committed';

-- One row for every name that is, was or is about to be; only those with a current generation show.
CREATE TABLE logical_files (
    plane TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    current BIGINT,
    last BIGINT NOT NULL,
    holder BYTEA,
    PRIMARY KEY (plane, name)
);

CREATE INDEX logical_files_shown ON logical_files (plane, name) WHERE current IS NOT NULL;

CREATE TABLE generations (
    plane TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    state TEXT NOT NULL,
    job BYTEA NOT NULL,
    wuid TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    parts BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    records BIGINT,
    committed_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    attributes TEXT NOT NULL,
    dir_per_part BIGINT NOT NULL,
    devices BIGINT NOT NULL,
    lfn_hash BIGINT NOT NULL,
    receipt BYTEA NOT NULL,
    PRIMARY KEY (plane, name, generation)
);

-- Only parts of live generations: what is replaced or removed moves to discards.
CREATE TABLE generation_parts (
    plane TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    part BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    length BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    crc32 BIGINT NOT NULL,
    records BIGINT,
    PRIMARY KEY (plane, name, generation, part)
);

CREATE UNIQUE INDEX generation_parts_path ON generation_parts (plane, path);

CREATE TABLE plane_files (
    plane TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    length BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    crc32 BIGINT NOT NULL,
    modified_ns BIGINT NOT NULL,
    committed_ms BIGINT NOT NULL,
    job BYTEA NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (plane, path)
);

-- Stored files nothing names any more. claimed_ms: when somebody set out to delete the file.
CREATE TABLE discards (
    plane TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    since_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    length BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    claimed_ms BIGINT,
    PRIMARY KEY (plane, path)
);

CREATE INDEX discards_age ON discards (plane, since_ms, path);

CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    agent TEXT COLLATE "C",
    event TEXT NOT NULL,
    job BYTEA,
    plane TEXT COLLATE "C",
    target TEXT COLLATE "C",
    result TEXT NOT NULL,
    detail TEXT NOT NULL,
    prev BYTEA NOT NULL,
    hash BYTEA NOT NULL
);

-- The number and hash of the last line: writers queue here, and a cut tail shows.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL
);

INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Who puts the parts of commits on their places on a plane, and until when by its own clock. Courtesy
-- only: every step of a commit is fenced by the state and epoch of its job.
CREATE TABLE placing_leases (
    plane TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder BYTEA NOT NULL,
    until_ms BIGINT NOT NULL
);
