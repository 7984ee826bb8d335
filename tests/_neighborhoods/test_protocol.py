"""Is every answer of a neighbourhood the one that its four required answers imply?"""

import dataclasses
import functools as ft
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from cases import soon
from interpreter import interpret
from properties import dense_reference as reference
from zoo import FORMULA, KINDS, OURS, WRAPPERS, around, formula

import icon
from icon._neighborhoods.graph import to_sparse
from icon._neighborhoods.protocol import (
    ANSWERS,
    EVERYBODY,
    REQUIRED,
    answers,
    as_neighborhood,
)


pytestmark = pytest.mark.usefixtures("x64")

AT = np.array([2, 0, 2, 1], np.int32)  # in no order, one of them twice


def close(got, expected, what=""):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11, err_msg=what)


def build(make, lib, seed=0):
    return make(lib, (zoo.traced if lib is OURS else zoo.exact)(seed, 0.0, jnp.float64))


def ids_of(n: int):
    return jnp.arange(n, dtype=jnp.int32)


# ------------------------------------------------------- one anchor


def columns(q, at):
    """Which columns of the scores these candidates have: a yes and a no in pairs."""
    m = q.shape[1] // 2 if q.per_pair else q.shape[1]
    at = ids_of(m)[at]
    return jnp.concatenate([at, at + m]) if q.per_pair else at


def spread_out(q, at, weight):
    """The probability of every candidate, those that are listed twice added up."""
    return jnp.zeros(q.shape[1]).at[columns(q, at)].add(weight)


def per_anchor(q, is_p: bool):
    """What a neighbourhood answers, of each anchor, asked in every way."""

    def one(i):
        everybody, some = q.score(i, EVERYBODY), q.score(i, AT)
        found = dict(score=everybody, some=some, log_mass=q.log_mass(i))
        found["read"], found["read some"] = q.read(i, EVERYBODY), q.read(i, AT)
        found["mass"] = q.mass(everybody, EVERYBODY)
        found["listed"] = (
            jnp.zeros(q.shape[1], bool).at[columns(q, q.listed(i))].set(True)
        )
        if is_p:
            at, weight = q.support(i)
            visited, *visit = q.visit(i)
            found["weight"] = spread_out(q, at, weight)
            found["visited"] = spread_out(q, visited, visit[0])
            found["visit"], found["at"] = visit[1:], q.read(i, visited)
            found["visit weight"] = visit[0]
        return found

    return jax.vmap(one)(ids_of(q.shape[0]))


SINGLE = {
    f"{name} of {base}": around(base, name)
    for base in ("gaussian", "graph")
    for name in WRAPPERS
    if formula(around(base, name)) and name != "tiled"
}
SEVERAL = {
    "margin of among": around("gaussian", "among", "margin"),
    "odds of among": around("gaussian", "among", "odds"),
    "bernoulli of odds of among": around("gaussian", "among", "odds", "bernoulli"),
    "sampled of smooth": around("gaussian", "smooth", "sampled"),
    "mix of two graphs": lambda lib, d: lib.mix(
        (lib.learned_graph(d.log_weight), lib.reweigh(lib.known_graph(), d.mass)),
        d.mixture,
    ),
    "wide of reweigh": around("gaussian", "reweigh", "wide"),
}
LISTED = {name: make for name, make in KINDS.items() if name not in zoo.CONTINUUM}
ALL = LISTED | SINGLE | SEVERAL
LATER = [name for name in SINGLE if name.endswith("of graph")] + [
    "mix of two graphs",
    "margin of among",
    "odds of among",
    "wide of reweigh",
]
MOST = pytest.mark.parametrize("name", soon(ALL, *(ALL.keys() - LATER)))


@MOST
def test_an_anchor_is_answered_as_its_formula_says(name):
    q, exact = build(ALL[name], OURS), build(ALL[name], FORMULA)
    is_p = exact.weight is not None
    found = interpret(ft.partial(per_anchor, q, is_p))
    at = np.asarray(columns(q, AT))
    close(found["score"], exact.score)
    close(found["some"], exact.score[:, at])
    close(found["log_mass"], exact.log_mass)
    for what, score in (("read", exact.score), ("read some", exact.score[:, at])):
        close(found[what][0], score, what)
        close(found[what][1], exact.log_mass, what)
    weights = exact.candidate_weight
    weights = np.ones(q.shape[1]) if weights is None else weights
    close(found["mass"], [exact.mass(row, weights)[0] for row in exact.score])
    listed = np.ones(q.shape, bool) if exact.listed is None else exact.listed
    if not q.per_pair:
        np.testing.assert_array_equal(found["listed"], listed)
        assert np.all(exact.score[~listed] == -np.inf)
    if is_p:
        close(found["weight"], exact.weight)
        close(found["visited"], exact.weight)
        counted = found["visit weight"] != 0
        close(found["visit"][0][counted], found["at"][0][counted])
        close(found["visit"][1], exact.log_mass)


@pytest.mark.parametrize("name", soon(zoo.GRAPHS, "restricted", "fuzzy"))
def test_a_list_that_is_searched_for_answers_as_its_weights_say(name):
    q = zoo.GRAPHS[name](zoo.learned(0).x)
    with np.errstate(divide="ignore"):
        exact = reference.graph(np.log(to_sparse(q).toarray()))
    for p in (q, q.prepared()):
        found = interpret(ft.partial(per_anchor, p, True))
        for what in ("score", "log_mass", "weight"):
            close(found[what], getattr(exact, what), what)
        close(found["visited"], exact.weight)
        close(found["visit"][1], exact.log_mass)


@pytest.mark.parametrize("name", ALL)
def test_the_flags_are_what_they_say(name):
    q, exact = build(ALL[name], OURS), build(ALL[name], FORMULA)
    assert q.shape == exact.shape
    assert q.excludes_self == exact.one_set
    assert q.per_pair == exact.per_pair and q.repeats == exact.repeats
    assert q.is_limit == (exact.mass is not reference.log_sum)
    assert q.is_signed == exact.is_signed
    assert q.is_sparse == (exact.is_list and not exact.repeats)
    if q.symmetric:
        close(exact.score, exact.score.T)
    if q.excludes_self:
        itself = jax.vmap(lambda i: q.is_self(i, EVERYBODY))(ids_of(q.shape[0]))
        np.testing.assert_array_equal(itself, np.eye(q.shape[0], dtype=bool))
        some = q.is_self(0, AT)
        assert some.tolist() == (AT == 0).tolist()


SYMMETRIC = "gaussian", "student_t", "laplace", "dot", "cosine", "same"


def test_which_neighborhoods_are_symmetric():
    found = {name for name, make in ALL.items() if build(make, OURS).symmetric}
    assert found == {*SYMMETRIC, "interpolated of gaussian"}


# ------------------------------------------------------- all anchors at once


def reports(p, q):
    """What is reported for all anchors at once, and what one anchor after another."""
    at_once = p.self_report(), q.log_masses(), q.joint_log_mass()
    return at_once, icon.per_anchor(p, q)


def test_what_is_answered_for_all_anchors_is_what_each_answers():
    p, q = zoo.KNOWN_GRAPH.prepared(), build(around("gaussian", "interpolated"), OURS)
    assert p is not zoo.KNOWN_GRAPH
    (own, masses, joint), report = interpret(reports, p, q)
    counted = report.p_mass > -np.inf
    close(own[0][counted], report.p_score[counted])
    close(own[1], report.p_mass)
    close(masses, report.q_mass)
    close(joint, np.logaddexp.reduce(report.q_mass))


@pytest.mark.parametrize("joint", [False, True])
def test_an_expectation_over_edges_is_that_of_each_anchor(joint):
    p, q = zoo.KNOWN_GRAPH.prepared(), build(around("student_t", "interpolated"), OURS)
    of = lambda q: (p.expected(q, None, joint), icon.per_anchor(zoo.KNOWN_GRAPH, q))
    expected, report = interpret(of, q)
    share = reference.shares(report.p_mass, None, joint)
    close(expected, np.sum(np.where(share > 0, share * report.q_score, 0)))


def test_an_expectation_is_declined_by_who_has_no_edges_for_it():
    p, q = zoo.KNOWN_GRAPH.prepared(), build(around("student_t", "interpolated"), OURS)
    assert p.expected(q, jnp.asarray(zoo.IDLE), False) is None  # weights of their own
    assert p.expected(build(KINDS["student_t"], OURS), None, True) is None
    assert p.prepared() is p


@pytest.mark.parametrize("name", ALL)
def test_only_these_answer_for_all_anchors(name):
    """A wrapper around what answers at once does not pass that answer on as its own."""
    q = build(ALL[name], OURS)
    for bulk in ("self_report", "log_masses", "joint_log_mass"):
        assert answers(q, bulk) == (name.startswith("interpolated") and "log" in bulk)
    assert q.prepared() is q or type(q).__name__ == "Graph"


# ------------------------------------------------------- the same, another way


def whole(q):
    """Scores, log-masses, and probabilities where there are any."""
    one = lambda i: (q.score(i, EVERYBODY), q.log_mass(i))
    return jax.vmap(one)(ids_of(q.shape[0]))


@MOST
def test_turned_round_it_is_its_formula_turned_round(name):
    """Inside of a trace, where a graph is not turned round."""

    def both(s):
        q = ALL[name](OURS, zoo.traced(0, s, jnp.float64))
        try:
            return whole(q.T), whole(q.T.T)
        except icon.InvalidInput:
            return None

    found, exact = interpret(both, jnp.zeros(())), formula(ALL[name])
    try:
        turned = exact.T
    except reference.Refused:
        assert found is None
        return
    for (score, mass), rows in zip(found, (turned, exact), strict=True):
        close(score, rows.score)
        close(mass, rows.log_mass)


@MOST
def test_as_points_it_is_the_same_in_two_sets(name):
    q, exact = build(ALL[name], OURS), build(ALL[name], FORMULA)
    points = q.as_points()
    assert (points is not None) == exact.is_points
    if points is not None:

        def rows(points):
            ids = ids_of(points.shape[0])
            return whole(points), jax.vmap(lambda i: points.row(i).self_report())(ids)

        (score, mass), (expected, own_mass) = interpret(rows, points)
        assert points.candidates is not None
        close(score, exact.score)
        close(mass, exact.log_mass)
        close(own_mass, exact.log_mass)
        by_loops = [
            reference.expectation(w, s)
            for w, s in zip(exact.weight, exact.score, strict=True)
        ]
        close(expected, by_loops)


@MOST
def test_all_of_a_batch_is_its_only_share(name):
    q, exact = build(ALL[name], OURS), build(ALL[name], FORMULA)
    try:
        share = q.gathered(lambda tree: tree, 0)
    except icon.InvalidInput:
        listed = "graph", "mix", "among", "scores"
        alone = "hard", "grouped", "sampled", "interpolated"
        assert any(word in name for word in (*listed, *alone))  # have no share
        return
    score, mass = interpret(whole, share)
    close(score, exact.score)
    close(mass, exact.log_mass)


@MOST
def test_what_one_looks_at_is_the_probabilities(name):
    q, exact = build(ALL[name], OURS), build(ALL[name], FORMULA)
    close(interpret(icon.dense, q), exact.probability())


# ------------------------------------------------------- neighbourhoods of one's own


class FourAnswers:
    """A Gaussian over all but the anchor itself; only what the protocol asks for."""

    @property
    def shape(self):
        return self.z.shape[0], self.z.shape[0]

    def support(self, i):
        score = self.score(i, EVERYBODY)
        return EVERYBODY, jnp.exp(score - self.log_mass(i))

    def score(self, i, at):
        square = jnp.sum((self.z[at] - self.z[i][None]) ** 2, 1)
        itself = ids_of(self.z.shape[0])[at] == jnp.asarray(i, jnp.int32)
        return jnp.where(itself, -jnp.inf, -square / 2)

    def log_mass(self, i):
        return jax.nn.logsumexp(self.score(i, EVERYBODY))


def record(cls):
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


@record
class Plain(FourAnswers):
    """An object of the user's that knows nothing of the library."""

    z: Any


@record
class Derived(FourAnswers, icon.Neighborhood):
    """The same, as a subclass of icon.Neighborhood."""

    z: Any
    excludes_self = True


CALLED: list[str] = []


@record
class Quick(FourAnswers):
    """The same, which answers for all anchors at once as well."""

    z: Any
    excludes_self = True

    def _each(self, answer):
        return jax.vmap(answer)(ids_of(self.z.shape[0]))

    def is_self(self, i, at):
        return ids_of(self.z.shape[0])[at] == jnp.asarray(i, jnp.int32)

    def self_report(self):
        CALLED.append("self_report")
        masses = self._each(self.log_mass)
        own = lambda i: self._expectation(self, i)
        return self._each(own), masses

    def _expectation(self, q, i):
        at, weight = self.support(i)
        score = jnp.where(weight > 0, q.score(i, at), 0)
        return jnp.sum(weight * score)

    def expected(self, q, weight, joint):
        CALLED.append("expected")
        masses = self._each(self.log_mass)
        weight = jnp.ones(len(self.z)) if weight is None else weight
        weight = jax.nn.softmax(masses) if joint else weight / jnp.sum(weight)
        return jnp.sum(weight * self._each(ft.partial(self._expectation, q)))

    def log_masses(self):
        CALLED.append("log_masses")
        return self._each(self.log_mass)

    def joint_log_mass(self):
        CALLED.append("joint_log_mass")
        return jax.nn.logsumexp(self._each(self.log_mass))


@record
class Declining(FourAnswers):
    """The same, which has no answer for all anchors at once after all."""

    z: Any

    def expected(self, q, weight, joint):
        return None

    def log_masses(self):
        return None


def losses(p, q):
    """As a whole and in strips, for each anchor, jointly, and over p's support."""
    weight = jnp.arange(1.0, zoo.N + 1)
    several = (
        icon.jsd(p, q),
        icon.kl(p, q, weight=weight, block=3),
        icon.kl(p, q, joint=True),
        icon.kl(p, q, joint=True, block=3),
    )
    return jnp.stack(several)


@ft.cache
def known_losses():
    def loss(x, y):
        values = losses(icon.gaussian(x), icon.gaussian(y))
        return jnp.sum(values * jnp.arange(1.0, 5)), values

    return gradient_of(loss)


def gradient_of(loss):
    x, y = (jnp.asarray(zoo.learned(seed).x) for seed in (0, 1))
    return interpret(jax.value_and_grad(loss, (0, 1), has_aux=True), x, y)


OWN = {
    "four answers on both sides": (Plain, Plain),
    "a subclass": (Derived, Derived),
    "many answers on both sides": (Quick, Quick),
    "many answers as p": (Quick, Plain),
    "many answers as q": (Plain, Quick),
    "declined answers": (Declining, Declining),
}
SOON = "four answers on both sides", "many answers on both sides", "declined answers"


@pytest.mark.parametrize("name", soon(OWN, *SOON))
def test_an_object_of_ones_own_is_a_neighborhood(name):
    make_p, make_q = OWN[name]

    def loss(x, y):
        values = losses(make_p(x), make_q(y))
        return jnp.sum(values * jnp.arange(1.0, 5)), values

    del CALLED[:]
    found, known = gradient_of(loss), known_losses()
    for got, expected in zip(*map(jax.tree.leaves, (found, known)), strict=True):
        close(got, expected)
    as_p = {"self_report", "expected"} if make_p is Quick else set()
    as_q = {"log_masses", "joint_log_mass"} if make_q is Quick else set()
    assert set(CALLED) == as_p | as_q


WITHIN = {
    "smooth": lambda q: icon.smooth(q, 0.3),
    "among": lambda q: icon.among(q, zoo.LISTED),
    "margin": lambda q: icon.margin(q, icon.same(zoo.IDS), 0.2),
    "grouped": lambda q: icon.grouped(q, zoo.GROUP, 3),
    "mix": lambda q: icon.mix(q, zoo.KNOWN_GRAPH, weights=[1.0, 2.0]),
    "hard": lambda q: icon.hard(q, 2),
    "bernoulli": icon.bernoulli,
    "sampled": lambda q: icon.sampled(q, zoo.KEY, 3),
    "unnormalized": icon.unnormalized,
}


@pytest.mark.parametrize("name", WITHIN)
def test_wrappers_go_around_an_object_of_ones_own(name):
    x = jnp.asarray(zoo.learned(0).x)
    found = interpret(lambda x: [whole(WITHIN[name](make(x))) for make in MAKES], x)
    for score, mass in found[1:]:
        close(score, found[0][0])
        close(mass, found[0][1])


MAKES = icon.gaussian, Derived, Quick


@pytest.mark.parametrize(
    "wrap", [icon.wide, icon.sharp, lambda q: icon.reweigh(q, zoo.IDLE)]
)
def test_what_an_object_does_not_answer_is_refused(wrap):
    for make in (Plain, Derived):
        with pytest.raises(icon.InvalidInput) as error:
            wrap(make(jnp.asarray(zoo.learned(0).x)))
        assert error.value.argument == "q" and make.__name__ in error.value.got


@pytest.mark.parametrize("lost", [*REQUIRED, "support"])
def test_an_object_without_a_required_answer_is_refused_by_its_name(lost):
    x = jnp.asarray(zoo.learned(0).x)
    kept = {k: v for k, v in vars(FourAnswers).items() if k != lost and k[0] != "_"}
    part = record(type("Part", (), kept | dict(__annotations__=dict(z=Any))))(x)
    with pytest.raises(icon.InvalidInput) as error:
        icon.kl(part, icon.gaussian(x))
    assert error.value.argument == "p" and error.value.got == f"Part, without `{lost}`"
    if lost == "support":  # which nobody asks of a q
        icon.kl(icon.gaussian(x), part)


def test_an_object_is_adapted_once_and_answers_what_it_has():
    x = jnp.asarray(zoo.learned(0).x)
    adapted = as_neighborhood("q", Quick(x))
    assert as_neighborhood("q", adapted) is adapted
    assert adapted.excludes_self and not as_neighborhood("q", Plain(x)).excludes_self
    own = {name for name in ANSWERS if answers(adapted, name)}
    assert own == {
        *("shape", "support", "score", "log_mass", "excludes_self", "is_self"),
        *("self_report", "expected", "log_masses", "joint_log_mass"),
    }
