-- Headers and footers of parts, and what the parts of sprays came from.

ALTER TABLE job_parts ADD COLUMN header BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job_parts ADD COLUMN footer BIGINT NOT NULL DEFAULT 0;
ALTER TABLE generation_parts ADD COLUMN header BIGINT NOT NULL DEFAULT 0;
ALTER TABLE generation_parts ADD COLUMN footer BIGINT NOT NULL DEFAULT 0;

-- How many rows of origin_ranges the job has, so that they need not be counted.
ALTER TABLE jobs ADD COLUMN origin_ranges BIGINT NOT NULL DEFAULT 0;

-- Both by the job, of which a generation has just one: a commit moves no rows. They go after the
-- generation has ended, or the job without one, a page at a time (litter of jobs).
CREATE TABLE origin_sources (
    job BYTEA NOT NULL REFERENCES jobs (job),
    source BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (job, source)
);

CREATE TABLE origin_ranges (
    job BYTEA NOT NULL REFERENCES jobs (job),
    part BIGINT NOT NULL,
    part_offset BIGINT NOT NULL,
    source BIGINT NOT NULL,
    source_offset BIGINT NOT NULL,
    length BIGINT NOT NULL,
    PRIMARY KEY (job, part, part_offset)
);
