-- Parts of sealed copies that the object store is asked to copy into their places, and from where.
-- They go with the commit, or when the copy is given up.

-- read_back: 1 where what the store made is read before it is believed.
CREATE TABLE part_copies (
    job BYTEA NOT NULL REFERENCES jobs (job),
    part BIGINT NOT NULL,
    plane TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    read_back BIGINT NOT NULL,
    PRIMARY KEY (job, part)
);

-- While a row names it, a stored file is neither deleted nor replaced.
CREATE INDEX part_copies_source ON part_copies (plane, path);

-- The tag a store gave the content of a part when it took its place; whatever is written there by
-- others has another. Only on planes of objects.
CREATE TABLE stored_tags (
    plane TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (plane, path)
);
