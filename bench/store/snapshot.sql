-- What readers see: complete in itself, never changed after it is published. Version 5.

create table snapshot.info (key varchar primary key, value varchar not null);

create table snapshot.metrics (
    name varchar primary key, title varchar, unit varchar, better varchar, exact boolean, meaning varchar
);

create table snapshot.sweeps (sweep_id varchar primary key, name varchar, declared varchar, body varchar);

create table snapshot.records (
    key varchar, kind varchar, job_type varchar, status varchar, attempt integer, recipe_id varchar, artefact_id varchar,
    stage varchar, failure varchar, reason varchar, log varchar, started varchar, seconds double, worker varchar,
    job varchar, notes varchar, conditions varchar, ordinal bigint,
    answer varchar                        -- JSON, of builds: what the step found and decided
);

-- one row a variant of a sweep
create table snapshot.variants (
    sweep_id varchar, recipe_id varchar, position integer, name varchar, base varchar, is_base boolean, seed integer,
    recipe_group varchar, steps varchar, artefact_id varchar,
    status varchar,                       -- waiting | failed | partial | stopped | complete
    reason varchar                        -- why there is no number, where there is none
);

-- one row a number of a variant, in long form
create table snapshot.numbers (
    sweep_id varchar, recipe_id varchar, metric varchar, scope varchar, estimate double, low double, high double,
    n integer, method varchar, hardware_class varchar, note varchar,
    evidence integer,                     -- independent examples or blocks of rounds behind the estimate
    span double,                          -- range of one example's score, 0 where unbounded
    p double,                             -- of the exact test against the base, where there is one
    p_holm double,                        -- adjusted: Holm over variants x 0/1 metrics, and over variants x parts of the data
    extended double                       -- leases behind it over those planned at first, null where not measured in leases
);

-- published numbers as they were last judged
create table snapshot.claims (
    model varchar, id varchar, text varchar, published varchar, source varchar, settings varchar, verdict varchar,
    found varchar, reason varchar, declared varchar
);

-- where each variant stands on the sweep's declared objectives
create table snapshot.verdicts (
    sweep_id varchar, recipe_id varchar, verdict varchar, share double, dominated_by varchar, reason varchar
);

-- variants that were stopped because another had beaten them: the audit of a race
create table snapshot.stops (
    sweep_id varchar, artefact_id varchar, beaten_by varchar, raced varchar, look integer, looks integer,
    examples varchar, level double, objectives varchar, reason varchar
);

-- looks at examples that choosing leaves alone, stated before the first of them was read
create table snapshot.openings (identity varchar primary key, sweep_id varchar, declared varchar, body varchar);

-- one row a number on held-back examples: an opening's scores (differences, recoveries) hold all at once at its level
create table snapshot.confirmations (
    sweep_id varchar, opening varchar, recipe_id varchar, metric varchar, scope varchar, estimate double, low double,
    high double,
    level double,                         -- of this interval alone
    n integer, method varchar,
    chosen double,                        -- estimate on the examples that are for choosing
    optimism double, optimism_low double, optimism_high double,  -- how much better it looked there
    finding varchar                       -- confirmed | overstated | understated | open
);

-- one row a variant and declared objective, from the intervals that the verdicts rest on
create table snapshot.standings (
    sweep_id varchar, recipe_id varchar, metric varchar, scope varchar,
    rank_low integer, rank_high integer,  -- the best and the worst rank that it may have, 1 best, null without a number
    tie varchar,                          -- letters: who shares one was not told apart
    relation varchar,                     -- to the base: better | equivalent | worse | not known yet, null for the base
    difference double, low double, high double -- from the base, null where nothing is known
);

-- one row a base: the frontier of estimates on the declared objectives as a whole
create table snapshot.fronts (
    sweep_id varchar, base varchar, size integer,
    knee varchar,                         -- recipe_id, null where the frontier does not bend
    hypervolume double                    -- share of the box from the best of all to a tenth beyond the worst
);

-- one row a recipe and number: over its training seeds beside the base, or beside another recipe
create table snapshot.recipes (
    sweep_id varchar, base varchar, recipe_group varchar, name varchar, metric varchar, scope varchar,
    other varchar,                        -- the recipe that it is compared with, empty for the base
    seeds integer,
    estimate double, low double, high double, -- null with one seed
    method varchar,
    variance_seeds double, variance_examples double, variance_sessions double, variance_rest double
);

-- one row a variant and declared constraint, its bound in the metric's unit
create table snapshot.constraints (
    sweep_id varchar, recipe_id varchar, position integer, metric varchar, scope varchar, operator varchar,
    bound double, text varchar,
    state varchar,                        -- met | not met | open
    estimate double, low double, high double -- null where there is no number
);

-- which examples count for a share over a whole task: one bit each, in the task's order of examples
create table snapshot.hits (
    sweep_id varchar, recipe_id varchar, metric varchar, scope varchar, n integer, bits blob
);

-- coherent bootstrap draws of a number: the same position is the same resample for all variants of a sweep and base
create table snapshot.draws (sweep_id varchar, recipe_id varchar, metric varchar, scope varchar, draws float[])
