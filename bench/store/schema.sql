-- The query form of the journal. Version 3. Every table can be rebuilt from journal/*.parquet.

create table if not exists schema_version (version integer primary key);

-- parts of the journal that are already in these tables
create table if not exists parts (name varchar primary key);

-- every entry ever acknowledged; the identity makes a repeated insert do nothing
create table if not exists entries (
    identity varchar primary key,
    entry    varchar not null,            -- record | sweep | retry | stop
    part     varchar not null,
    position integer not null
);

-- one row a sweep declaration
create table if not exists sweeps (
    sweep_id varchar primary key,
    name     varchar not null,
    declared varchar not null,            -- UTC
    body     varchar not null             -- JSON: variants, tasks, objectives
);

-- one row an attempt at a job
create table if not exists records (
    identity    varchar primary key,
    key         varchar not null,         -- of the job
    kind        varchar not null,         -- build | study | evaluate | measure
    job_type    varchar not null,
    status      varchar not null,         -- finished | failed
    attempt     integer not null,
    recipe_id   varchar,                  -- of builds
    artefact_id varchar,                  -- produced by builds, input of evaluations
    stage       varchar,
    failure     varchar,
    reason      varchar,
    log         varchar,
    started     varchar not null,         -- UTC
    seconds     double not null,
    worker      varchar not null,
    job         varchar not null,         -- JSON
    notes       varchar,                  -- JSON
    answer      varchar,                  -- JSON: what a study found, or what a build decided and why
    conditions  varchar,                  -- JSON
    ordinal     bigint not null           -- order of acknowledgement
);

-- numbers that a job stated directly, in long form
create table if not exists numbers (
    identity    varchar not null,
    artefact_id varchar not null,
    metric      varchar not null,
    scope       varchar not null,
    estimate    double not null,
    low         double not null,
    high        double not null,
    n           integer not null,
    method      varchar not null
);

-- per-example outcomes of finished evaluations
create table if not exists examples (
    identity    varchar not null,
    artefact_id varchar not null,
    task        varchar not null,         -- fingerprint
    index       bigint not null,
    label       varchar not null,
    prediction  varchar not null,
    score       double not null,
    confidence  double not null,
    slice       varchar not null,         -- named part of the data, empty where there is none
    columns     map(varchar, double)      -- statistics whose sums give a metric
);

-- raw timings, one row a visit
create table if not exists samples (
    identity    varchar not null,
    lease       integer not null,
    artefact_id varchar not null,
    scope       varchar not null,
    round       integer not null,
    position    integer not null,
    calls       integer not null,
    seconds     double not null,          -- per call
    first       double not null,          -- seconds of the first call of the visit
    each        float[] not null,         -- seconds of the earliest calls after it, one by one
    joules      double                    -- per call, null where nothing could tell
);

-- published numbers as they were last judged, one row a claim
create table if not exists claims (
    model     varchar not null,
    id        varchar not null,
    text      varchar not null,
    published varchar not null,
    source    varchar not null,
    settings  varchar not null,
    verdict   varchar not null,           -- reproduced | not reproduced | not comparable | needs weights
    found     varchar not null,
    reason    varchar not null,
    declared  varchar not null,           -- UTC
    primary key (model, id)
);

-- variants that were stopped because another had beaten them, one row an elimination: the audit of a race
create table if not exists stops (
    sweep_id    varchar not null,
    artefact_id varchar not null,
    beaten_by   varchar not null,         -- artefact_id
    raced       varchar not null,         -- examples | leases
    look        integer not null,         -- counted from 1
    looks       integer not null,         -- at which variants may be stopped
    examples    varchar not null,         -- JSON: by task, of those on which it was stopped
    level       double not null,          -- one-sided, of the comparison
    objectives  varchar not null,         -- JSON: (metric, scope) of those raced
    reason      varchar not null,
    primary key (sweep_id, artefact_id)
);

-- looks at examples that choosing leaves alone, stated before the first of them is read
create table if not exists openings (
    identity varchar primary key,
    sweep_id varchar not null,
    declared varchar not null,            -- UTC
    body     varchar not null             -- JSON: level, tasks, shortlist with the keys of its evaluations
);

-- jobs whose earlier failures no longer count
create table if not exists retries (
    key      varchar not null,
    declared varchar not null
);
