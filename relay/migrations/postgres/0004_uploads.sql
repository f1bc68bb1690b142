-- Uploads to object stores: every upload is noted here before its first piece, and forgotten when
-- it was completed or thrown away.

-- state: 'open' is the one its part goes on with, 'spent' one that is to be thrown away. 'wanted',
-- with an empty upload, stands from before an upload is begun until its name is known: where a
-- crash leaves it, the store is asked what was begun.
CREATE TABLE uploads (
    job BYTEA NOT NULL REFERENCES jobs (job),
    part BIGINT NOT NULL,
    upload TEXT COLLATE "C" NOT NULL,
    plane TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    state TEXT NOT NULL,
    begun_ms BIGINT NOT NULL,
    PRIMARY KEY (job, part, upload)
);

CREATE INDEX uploads_spent ON uploads (plane, job, part) WHERE state = 'spent';

CREATE INDEX uploads_path ON uploads (plane, path);

-- Pieces of the open upload of a part: what the store wants to hear when it is completed.
CREATE TABLE upload_pieces (
    job BYTEA NOT NULL REFERENCES jobs (job),
    part BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (job, part, piece)
);
