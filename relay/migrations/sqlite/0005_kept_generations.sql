-- Generations that stay stored after they were replaced, and the pointers that name the current
-- one to readers of the plane.

-- How many generations the layout keeps, the job's own among them; 0 with the hpcc layout.
ALTER TABLE jobs ADD COLUMN keep_generations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN keep_generations INTEGER NOT NULL DEFAULT 0;

-- pointer: 0 none stands, 1 it stands and is right, 2 it must be written or removed. Parts that
-- were replaced or removed stay until it is right.
ALTER TABLE logical_files ADD COLUMN pointer INTEGER NOT NULL DEFAULT 0;

-- The highest generation that was removed with the name: it and those before it are not kept.
ALTER TABLE logical_files ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;

CREATE INDEX logical_files_pointer ON logical_files (plane, name) WHERE pointer = 2;
CREATE INDEX generations_kept ON generations (plane, name) WHERE state = 'kept';
