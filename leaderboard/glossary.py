"""What the columns of tables mean, by their headings: one sentence each."""

from __future__ import annotations

import re
from html import escape

NUMBERED = re.compile(r" \d+$")
VERDICTS = {
    "certain": "Against every other variant it is better beyond the interval on some objective: nothing here beats it.",
    "contested": "Neither shown to be beaten nor shown to be unbeaten: more examples or rounds would tell.",
    "dominated": "One other is better on every objective beyond the interval, or no worse where numbers are exact.",
    "not evaluated": "It has no number on some objective; its row says why.",
}
MEANINGS = {
    # of a variant
    "number": "What was measured or counted, and on which data or shape: 'How to read it' explains each.",
    "objective": "A number that the sweep decides by, and which way is better.",
    "value": "The estimate; times and memory hold for the sweep's hardware class.",
    "95% interval": "Holds the true value 95 times of 100, over examples and timing rounds; empty where it is counted.",
    "against the base": "Better, equivalent, worse or not known yet, with the difference and its interval.",
    "rank": "The best and the worst that the intervals leave possible among those compared; tied: not told apart.",
    "how": "The method of the interval, how many values are behind the number, and what is odd about it.",
    "part": "A part of the data, as its files name it, or of what a model was made of.",
    "variant": "A recipe with what it produced: one model to choose.",
    "seed": "The seed of its training: other seeds give other models of the same recipe.",
    "verdict": "Certain, contested or dominated among all others on the objectives; 'How to read it' says how.",
    "share on the frontier": "Part of resamples in which the variant is on the frontier; not a probability. 100% may "
    "stand beside contested: no resample put another ahead, and yet some difference is within its interval.",
    "notes": "Why a number is missing or odd.",
    "first objective": "Its value on the first objective that the sweep names.",
    "loss": "From 0, the best of the shortlist, to 1, the worst of it.",
    # of jobs and steps
    "outcome": "Whether the attempt finished or failed.",
    "job": "What a worker was asked to do: build a step, evaluate examples, or measure time or memory.",
    "cause": "Stage, kind and reason of a failure.",
    "attempt": "The how manieth try at the same job this was.",
    "started (UTC)": "When it began.",
    "began (UTC)": "When a worker began with it.",
    "took": "How long it took.",
    "worker": "Node and process that it ran in.",
    "step": "One method of the recipe, in the order in which they were done.",
    "promised": "What the method says that it does to every model.",
    "facts": "What was counted in the model after the step.",
    "after": "The step after which the model was looked at.",
    "parameters": "Numbers that the model holds.",
    "bytes": "Size on disk.",
    "layers": "Layers that are left.",
    "FLOPs": "Floating point operations of one forward pass, and on what it was counted.",
    "types": "Number types of the weights.",
    "zeros": "Part of the weights that is zero.",
    "operators of a forward pass": "The kernels that a forward pass runs, with the type that they compute in.",
    "in float": "How many modules were kept in float in that trial.",
    "target": "Whether the score reached what was asked, and which trial was taken.",
    # of sweeps
    "node": "A machine of the cluster.",
    "CPUs in use": "CPUs that jobs hold now, of all that the node offers.",
    "finished": "Attempts that gave what they were to give.",
    "failed": "Attempts that did not; those that may pass are tried again.",
    "time, all together": "The time of all attempts one after the other; what runs side by side counts each.",
    "kind": "What went wrong, and at which stage.",
    "reason": "The sentence that the failure or the race left; numbers that differ count as one reason.",
    "attempts": "How often it failed for this reason.",
    "now": "Whether a later attempt finished the job, or it is still open.",
    "jobs": "Some of the jobs that it happened to.",
    "last (UTC)": "When it happened last.",
    "stopped": "The variant that was not run to its end.",
    "beaten by": "The variant that was shown to be better.",
    "raced on": "What was looked at in turn: examples, or rounds of timing.",
    "look": "At which of the planned looks the race decided.",
    "examples seen": "Examples of each task that had been evaluated by then.",
    "level": "One-sided error level of this one comparison.",
    "objectives": "What the race compared them on.",
    "contested variant": "Neither shown to be beaten nor shown to be unbeaten.",
    "leases": "Sessions of timing that it has by now.",
    "what would decide it": "About how many more leases close its open comparisons, if estimates stay as they are.",
    # of comparisons
    "pair": "The former against the latter: a difference above zero means that the former has more.",
    "metric": "What was scored, and on which data.",
    "flips": "Examples that only the former and only the latter has right, of all.",
    "p": "McNemar's exact test of no difference.",
    "p, adjusted": "The same, adjusted (Holm) over the sweep's variants x 0/1 metrics.",
    "examples": "How many examples there are.",
    "examples lost": "On how many examples one of the others does worse than the first.",
    "examples gained": "On how many examples one of the others does better than the first.",
    # of reviews
    "constraints": "What must be kept; met only where the whole interval keeps it.",
    "weights": "How much each number counts in the score; only proportions matter.",
    "score": "Distance from the best of every number: 0 is best. Of one example: what it counts for.",
    "first in resamples": "How often it comes first when examples and rounds are drawn again, with these weights.",
    "first in all weightings": "How often it comes first when weights are drawn evenly.",
    "held-back examples": "What examples that nobody chose by said of it: whether they contradict a number of it.",
    "licences": "Every licence that its parts and data state; how many state none.",
    "open points": "What is not settled about it.",
    "open to keep the constraints": "A variant whose interval straddles a bound, or that has no number for it.",
    "weight of": "The number whose weight runs from 0 to 1, the others in proportion.",
    "from": "The weight from which the choice holds.",
    "to": "The weight up to which the choice holds.",
    "choice": "Which variant comes first at these weights.",
    "as stated": "Where the stated weight lies.",
    "scale": "The number that losses are counted on.",
    "loss 0": "The best value of the shortlist.",
    "loss 1": "The worst value of the shortlist.",
    "value (95% interval)": "The estimate, and what holds the true value 95 times of 100.",
    "name": "The model or data set.",
    "licence": "As its owner states it; 'not stated' where nobody does.",
    "said by": "Where the licence was read.",
    "on held-back examples": "Estimated on examples that nobody chose by, with its interval.",
    "on those chosen by": "What it was on the examples that the choice was made by.",
    "finding": "Whether the held-back examples contradict it.",
    "event": "Its number in the history.",
    "when": "When it was written, UTC.",
    "who": "The person, and who vouches for them.",
    "what": "What was done or counted.",
    "data seen": "The snapshot and the beginning of the hash of the data that were on their screen.",
    "SHA-256 of the event": "Its beginning; the next event holds the whole.",
    # of evidence
    "record": "One finished job in the journal.",
    "condition": "What a number depends on: machine, driver, threads, libraries, load.",
    "settings": "What the step was told.",
    "artefact": "Hash of the bytes that the step produced.",
    "built": "When it was built, UTC.",
    "seconds": "How long it took, or of one call.",
    "learnt from": "Teachers of the step, by the hash of their bytes.",
    "lease": "One session of timing, in a process of its own.",
    "base": "The same of the base model.",
    "count": "What was counted.",
    "before": "Before the last step.",
    # of explanations
    "meaning": "What it says, in a sentence.",
    "word": "As the pages use it.",
    "unit": "What it is counted in; MB are 10^6 bytes.",
    "direction": "Which way is better.",
}


def help_html(heading: str, meaning: str) -> str:
    """A heading that says what it means when it is pointed at, clicked or touched; needs no script."""
    if not meaning:
        return escape(heading)
    said = escape(meaning)
    return f'<details class="help"><summary title="{said}">{escape(heading)}</summary><span>{said}</span></details>'


def meaning_of(heading: str) -> str:
    """What a column of that heading holds, nothing where that is not known here; "record 2" is a record."""
    return MEANINGS.get(heading) or MEANINGS.get(NUMBERED.sub("", heading), "")
