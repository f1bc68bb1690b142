-- Headers and footers of parts, and what the parts of sprays came from.

ALTER TABLE job_parts ADD COLUMN header INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job_parts ADD COLUMN footer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generation_parts ADD COLUMN header INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generation_parts ADD COLUMN footer INTEGER NOT NULL DEFAULT 0;

-- How many rows of origin_ranges the job has, so that they need not be counted.
ALTER TABLE jobs ADD COLUMN origin_ranges INTEGER NOT NULL DEFAULT 0;

-- Both by the job, of which a generation has just one: a commit moves no rows. They go after the
-- generation has ended, or the job without one, a page at a time (litter of jobs).
CREATE TABLE origin_sources (
    job BLOB NOT NULL REFERENCES jobs (job),
    source INTEGER NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE origin_ranges (
    job BLOB NOT NULL REFERENCES jobs (job),
    part INTEGER NOT NULL,
    part_offset INTEGER NOT NULL,
    source INTEGER NOT NULL,
    source_offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (job, part, part_offset)
) STRICT, WITHOUT ROWID;
