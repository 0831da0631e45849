"""What news items are made of: words, and for each kind of event its facts, as an article and as a summary says them.

Slots: {t0} town, {s0} surname, {w0} weekday, {m0} month, {k0} number, {b0} building, {j0} job, {x0} cause, {i0} cause
of a crash, {v0} project, {g0} sport, {q0} product, {y0} vehicle, {z0} prize, {u0} people in danger.
"""

from dataclasses import dataclass, field
from typing import Final

Forms = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: ways an article says it, ways a summary does, and ways an article says that it is not so."""

    rank: int  # of the facts that an article states, the summary keeps the one with the highest rank
    said: Forms
    kept: Forms
    denied: Forms = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of event: an article has one lead, some of the facts and at most one outcome."""

    leads: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    outcomes: tuple[Fact, ...]
    fillers: Forms = field(default=())


LISTS: Final = {
    line[0]: tuple(word.replace("_", " ") for word in line[2:].split())
    for line in (
        "w Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "m January February March April May June July August September October November December",
        "k two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty",
        "b library school theatre museum bakery hotel church station hospital cinema bank pharmacy market castle",
        "j teacher nurse driver farmer student baker painter lawyer mechanic singer gardener waiter",
        "x a_faulty_heater a_forgotten_candle a_broken_cable a_gas_leak a_burning_cigarette lightning an_old_oven "
        "a_careless_worker",
        "i thick_fog ice_on_the_road a_loose_wheel a_burst_tyre a_running_deer bright_sunlight a_broken_brake",
        "v a_new_bridge a_swimming_pool a_tunnel a_football_stadium a_tram_line a_wind_park a_car_park "
        "a_concert_hall an_airport a_bicycle_path",
        "g football handball hockey basketball rugby",
        "q shoe chocolate furniture paper glass toy bicycle clock soap carpet",
        "y bus truck van tram taxi tractor coach train",
        "z science music book peace film poetry",
        "u hikers sailors children miners climbers tourists",
    )
}

HURT: Final = Fact(
    5,
    (
        "{k0} people were hurt and had to be taken to a hospital in {t1}",
        "a doctor in {t1} said that {k0} people were being treated for injuries",
        "early reports spoke of {k1} injured people , but the police later counted {k0}",
        "the police first counted {k1} injured people and later corrected the number to {k0}",
    ),
    ("{k0} people were injured", "{k0} people are in hospital"),
    ("nobody was hurt", "there were no reports of injured people"),
)
MISSING: Final = Fact(
    6,
    (
        "rescuers are still looking for {s0} , a {j0} from {t1} , who has not been seen since",
        "a {j0} named {s0} has been missing ever since , and rescuers are searching with dogs",
    ),
    ("a {j0} is missing", "rescuers are looking for a {j0} named {s0}"),
    ("rescuers were soon certain that nobody was missing",),
)
DAMAGE: Final = Fact(
    4,
    (
        "insurers put the damage at about {k2} million crowns",
        "the repairs will cost {k2} million crowns according to a first estimate",
        "the town first spoke of {k1} million crowns of damage but now expects {k2} million",
    ),
    ("the damage is put at {k2} million crowns", "it caused damage of {k2} million crowns"),
    ("it is not clear yet how large the damage is",),
)
CAUSE: Final = Fact(
    3,
    (
        "investigators from {t1} believe that {x0} was to blame",
        "the police ruled out {x1} and now say that {x0} was the cause",
        "according to the police {x0} was the most likely cause",
    ),
    ("experts blame {x0}", "the cause was probably {x0}"),
    ("the police do not know the cause yet",),
)
SKID: Final = Fact(
    3,
    (
        "investigators from {t1} believe that {i0} was to blame",
        "the police ruled out {i1} and now say that {i0} was the cause",
        "according to the police {i0} was the most likely cause",
    ),
    ("experts blame {i0}", "the cause was probably {i0}"),
    ("the police do not know the cause yet",),
)
WARNED: Final = Fact(
    3,
    (
        "forecasters had warned of bad weather since {w1}",
        "the first warning came on {w1} from the weather office in {t1}",
    ),
    ("forecasters had warned since {w1}", "there had been a warning on {w1}"),
    ("the weather office had not expected it",),
)
REBUILT: Final = Fact(
    0,
    (
        "mayor {s1} promised that the {b0} will be built up again by {m0}",
        "the {b0} is to be repaired by {m0} , mayor {s1} told reporters",
    ),
    ("it will be rebuilt by {m0}", "the mayor wants to rebuild it by {m0}"),
)
GIVEN_UP: Final = Fact(
    0,
    (
        "owner {s1} said with tears that the {b0} will never open its doors again",
        "the {b0} will not be built up again , said its owner {s1}",
    ),
    ("it will not be rebuilt", "the owner will give it up for good"),
)
RAISED: Final = Fact(
    0,
    (
        "neighbours have already collected {k5} thousand crowns for those who lost something",
        "people in {t0} and {t1} have given {k5} thousand crowns to help",
    ),
    ("{k5} thousand crowns have been donated", "people have given {k5} thousand crowns"),
)
AFTER_DISASTER: Final = (REBUILT, GIVEN_UP, RAISED)


def disaster(*leads: Fact, cause: Fact = CAUSE) -> Kind:
    """Something bad happened to a building."""
    heard = ("{s3} , a {j3} who lives close by , heard a loud noise", "smoke and dust could be seen from {t3}")
    return Kind(leads, (HURT, MISSING, DAMAGE, cause), AFTER_DISASTER, heard)


FIRE: Final = disaster(
    Fact(0, ("a fire destroyed the {b0} in {t0} on {w0}", "on {w0} the {b0} in the centre of {t0} burned down"),
         ("fire destroys the {b0} in {t0}", "the {b0} in {t0} has burned down")),
    Fact(0, ("a fire broke out in the {b0} of {t0} on {w0} and damaged its roof",
             "on {w0} flames damaged parts of the {b0} in {t0}"),
         ("fire damages the {b0} in {t0}", "the {b0} in {t0} was on fire")),
)  # fmt: skip
STORM: Final = disaster(
    Fact(0, ("a storm swept over {t0} on {w0} and tore the roof off the {b0}",
             "on {w0} strong wind blew down a wall of the {b0} in {t0}"),
         ("storm damages the {b0} in {t0}", "a storm has hit the {b0} in {t0}")),
    Fact(0, ("the river in {t0} burst its banks on {w0} and flooded the {b0}",
             "on {w0} after days of rain water poured into the {b0} of {t0}"),
         ("flood reaches the {b0} in {t0}", "the {b0} in {t0} is under water")),
    cause=WARNED,
)  # fmt: skip
BLAST: Final = disaster(
    Fact(0, ("an explosion shook the {b0} in {t0} on {w0}", "on {w0} there was an explosion in the {b0} of {t0}"),
         ("explosion at the {b0} in {t0}", "an explosion has damaged the {b0} in {t0}")),
)  # fmt: skip
CRASH: Final = Kind(
    (
        Fact(0, ("a {y0} and a {y1} crashed into each other near {t0} on {w0}",
                 "on {w0} a {y0} hit a {y1} on the main road of {t0}"),
             ("{y0} and {y1} crash in {t0}", "a {y0} has collided with a {y1} near {t0}")),
        Fact(0, ("a {y0} left the road near {t0} on {w0} and ran into a tree",
                 "on {w0} the driver of a {y0} lost control in {t0} and hit a wall"),
             ("{y0} leaves the road near {t0}", "a {y0} has crashed in {t0}")),
    ),
    (HURT, MISSING, SKID,
     Fact(4, ("the driver {s1} had been drinking , a test showed",
              "the police say that {s1} , the driver , was drunk"),
          ("the driver was drunk", "the driver had drunk alcohol"), ("a test showed that the driver was sober",))),
    (
        Fact(0, ("the road to {t1} will stay closed until {w1}", "drivers must take another way to {t1} until {w1}"),
             ("the road is closed until {w1}", "the road will reopen on {w1}")),
        Fact(0, ("mayor {s2} wants traffic lights there by {m0}",
                 "there will be traffic lights in {m0} , mayor {s2} said"),
             ("the mayor plans traffic lights", "traffic lights will follow in {m0}")),
    ),
    ("{s3} , a {j3} who lives close by , heard a loud noise", "there had been much traffic that day"),
)  # fmt: skip
ROBBERY: Final = Kind(
    (
        Fact(0, ("two masked men robbed the {b0} in {t0} on {w0}",
                 "on {w0} two men with guns stormed into the {b0} of {t0}"),
             ("robbers raid the {b0} in {t0}", "the {b0} in {t0} has been robbed")),
        Fact(0, ("thieves broke into the {b0} in {t0} during the night to {w0}",
                 "when workers came to the {b0} of {t0} on {w0} , they found the doors broken by thieves"),
             ("thieves break into the {b0} in {t0}", "a burglary has hit the {b0} in {t0}")),
    ),
    (
        Fact(6, ("the police arrested {s0} , a {j0} from {t1} , on {w1}",
                 "on {w1} a {j0} named {s0} was caught with part of the money in {t1}"),
             ("a {j0} was arrested", "the police have caught a {j0} from {t1}"),
             ("the police have no trace of them",)),
        Fact(5, ("a guard named {s1} was beaten and lost two teeth", "they beat the guard {s1} before they ran away"),
             ("guard {s1} was beaten", "a guard was injured"), ("the guards were not harmed",)),
        Fact(4, ("they escaped with {k2} thousand crowns", "a first count shows that {k2} thousand crowns are gone",
                 "the owner first missed {k1} thousand crowns , but in truth {k2} thousand are gone"),
             ("{k2} thousand crowns are missing", "{k2} thousand crowns were stolen"), ("no money was taken",)),
        Fact(3, ("a {j1} saw them leave in a {y0}", "they fled in a {y0} that had been stolen in {t1}"),
             ("they fled in a {y0}", "a {y0} was used for the escape"), ("nobody saw how they left",)),
    ),
    (
        Fact(0, ("owner {s2} offers {k0} thousand crowns to whoever can help",
                 "there is a reward of {k0} thousand crowns , said owner {s2}"),
             ("the owner offers a reward", "a reward of {k0} thousand crowns is offered")),
        Fact(0, ("the {b0} will open again on {w2}", "owner {s2} hopes to open the doors again on {w2}"),
             ("it reopens on {w2}", "it stays closed until {w2}")),
    ),
    ("it was the third case of this sort in the region", "the alarm could be heard in the whole street"),
)  # fmt: skip
