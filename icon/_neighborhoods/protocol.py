"""Which questions does a neighbourhood answer? All of them, with their defaults."""

import functools as ft
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from icon._base import checks as check
from icon._base.numerics import lse
from icon._base.pytrees import pytree, static


At = Any  # what indexes candidates: EVERYBODY, ids [s], points [s, d], or their moments
EVERYBODY = slice(None)
ONE_OR_TWO = "one set, as same(ids), or two, as same(ids, ids), on both sides"


def candidate_ids(m: int, at):
    """The ids of the candidates at `at`, as int32 also in x64."""
    return jnp.arange(m, dtype=jnp.int32)[at]


class Neighborhood:
    r"""A distribution over the neighbours of every anchor, as the questions it answers.

    $$p_{ij} = \exp(s_{ij} - \mathrm{log\_mass}_i)$$

    Four answers are required: `shape`, `support`, `score` and `log_mass`; whoever only
    stands on the right of kl(p, q) needs no `support`. Any object that has them will
    do. The other answers have defaults, below; they say more about a neighbourhood, or
    answer for all anchors at once what would otherwise be asked of each.

    Example:
        >>> import icon, jax.numpy as jnp
        >>> at, weight = icon.same(jnp.array([0, 0, 1])).support(0)
        >>> weight.tolist()
        [0.0, 1.0, 0.0]

    Source: Alshammari et al., I-Con, 2025.
    """

    # ------------------------------------------------------- required

    @property
    def shape(self) -> tuple[int, int | None]:
        """How many anchors and candidates; None in a continuum."""
        raise _unanswered(self, "shape")

    def support(self, i) -> tuple[At, Float[Array, " s"]]:
        """Who the neighbours of i are, and the probability of each."""
        raise _unanswered(self, "support")

    def score(self, i, at: At) -> Float[Array, " s"]:
        """Their unnormalised log-probabilities; -inf for a candidate not listed."""
        raise _unanswered(self, "score")

    def log_mass(self, i) -> Float[Array, ""]:
        """log of what the scores of i sum to; -inf where i has no neighbour."""
        raise _unanswered(self, "log_mass")

    # ------------------------------------------------------- one anchor

    sets: int | None = None  # 1: anchors are the candidates; 2: not; None: unknown
    excludes_self: bool = False  # anchors are candidates too, and j = i is none
    symmetric: bool = False  # one set in which i scores j as j scores i
    is_sparse: bool = False  # `support` lists few candidates, by rising id
    is_limit: bool = False  # the log-mass is a mean or a maximum, not a sum
    is_signed: bool = False  # its probabilities may be below zero
    repeats: bool = False  # `support` may list a candidate twice, with shares of it
    per_pair: bool = False  # a distribution for each pair, not for each anchor
    wants_edges: bool = False  # as q: answers `along` the edges of a prepared p
    is_placed: bool = False  # says where it is summed

    @property
    def is_normalized(self) -> bool:
        """Whether probabilities sum to one: not in a limit, or where estimated."""
        return not self.is_limit

    def is_self(self, i, at: At) -> Bool[Array, " s"]:
        """Which of the candidates i itself is, where anchors are candidates."""
        return candidate_ids(self.shape[1] or 0, at) == jnp.asarray(i, jnp.int32)

    def listed(self, i) -> At:
        """The candidates that i has at all."""
        return EVERYBODY

    def read(self, i, at: At):
        """Scores and log-mass of i, in one visit where that is cheaper."""
        return self.score(i, at), self.log_mass(i)

    def visit(self, i):
        """The support of i, its weights, its own scores and its log-mass."""
        at, weight = self.support(i)
        return at, weight, *self.read(i, at)

    def mass(self, score, at: At) -> Float[Array, ""]:
        """The log-mass of these scores of these candidates."""
        return lse(score)

    # ------------------------------------------------------- all anchors at once

    def self_report(self) -> tuple[Array, Array] | None:
        """As p: E_{j~p_i} s^p_ij and the log-mass of every anchor."""
        return None

    def expected(self, q, weight, joint: bool) -> Float[Array, ""] | None:
        """As p: Σ_i π_i E_{j~p_i} s^q_ij, π from the weights or, if joint, the masses.

        `weight` is None where every anchor with a neighbour counts alike.
        """
        return None

    def along(self, edges) -> Float[Array, ""] | None:
        """As q: Σ_e w_e s_e over edges of one set, each listed from both its ends."""
        return None

    def bilinear(self, u, v) -> Float[Array, ""] | None:
        """As q: Σ_ij s_ij u_i · v_j, where a p of low rank asks for it."""
        return None

    def log_masses(self) -> Float[Array, " n"] | None:
        """As q: the log-mass of every anchor."""
        return None

    def joint_log_mass(self) -> Float[Array, ""] | None:
        """As q: log Σ_ij e^{s_ij}, a number whose gradient is one field, not two."""
        return None

    # ------------------------------------------------------- the same, another way

    def against(self, q) -> "Neighborhood":
        """As p: the same, with the support that serves best where q scores it."""
        return self

    def prepared(self) -> "Neighborhood":
        """A p that does not learn, with what many steps need worked out once."""
        return self

    def as_points(self) -> "Neighborhood | None":
        """The same as points in two sets, to be tiled and spread over devices."""
        return None

    def as_factors(self) -> Any | None:
        """The same as an inner product of few numbers per point, over one set."""
        return None

    def as_labels(self) -> tuple[Array, Array, Array] | None:
        """The same as labels of anchors and candidates, neighbours where they agree.

        And which anchors have a label at all.
        """
        return None

    def gathered(self, gather: Callable, first) -> "Neighborhood":
        """This device's share of a batch: its anchors begin at `first`."""
        raise _unanswered(self, "gathered")

    def reduced(self, reduction) -> "Neighborhood":
        """The same with another log-mass: the limits of its temperature."""
        raise _unanswered(self, "reduced")

    def reweighed(self, weight) -> "Neighborhood":
        """The same with a weight for every candidate."""
        raise _unanswered(self, "reweighed")

    @property
    def T(self) -> "Neighborhood":
        """Anchors as candidates, and candidates as anchors."""
        raise _unanswered(self, "T")


def of_base(names: str) -> Callable[[type], type]:
    """A class of neighbourhoods around a `base`, which answers these questions.

    Example:
        >>> from icon._neighborhoods.protocol import Neighborhood, of_base
        >>> @of_base("shape score")
        ... class Same(Neighborhood):
        ...     def __init__(self, base):
        ...         self.base = base
        >>> import icon, jax.numpy as jnp
        >>> Same(icon.dot(jnp.eye(3))).shape
        (3, 3)
    """

    def answering(cls: type) -> type:
        for name in names.split():
            setattr(cls, name, _of_base(name, callable(vars(Neighborhood)[name])))
        return cls

    return answering


def _of_base(name: str, asked: bool):
    """A property that is the base's, or a method that asks the base."""
    if asked:
        return lambda self, *args: getattr(self.base, name)(*args)
    return property(lambda self: getattr(self.base, name))


def _unanswered(q, name: str) -> check.InvalidInput:
    expected = "a neighbourhood that has it"
    return check.InvalidInput("q", f"{_kind(q)}, without `{name}`", expected)


def _kind(q) -> str:
    """The name of its type, a user's where it is adapted."""
    return type(q.base if isinstance(q, Adapted) else q).__name__


# ------------------------------------------------------- at the door


REQUIRED = ("shape", "score", "log_mass")


@pytree
class Adapted(Neighborhood):
    """A user's object, which answers what it has."""

    base: Any
    answers: frozenset[str] = static()
    kind: type = static()  # which JAX may not tell from another of equal fields


def _forwarded(name: str, default):
    """The answer of a user's object, or the default."""
    if not callable(default):  # a flag or a property

        def flag(self):
            if name in self.answers:
                return getattr(self.base, name)
            return default.__get__(self) if isinstance(default, property) else default

        return property(flag)

    @ft.wraps(default)
    def answer(self, *args):
        if name in self.answers:
            return getattr(self.base, name)(*args)
        return default(self, *args)

    return answer


ANSWERS = tuple(name for name in vars(Neighborhood) if not name.startswith("_"))
for _name in ANSWERS:
    setattr(Adapted, _name, _forwarded(_name, vars(Neighborhood)[_name]))


def as_neighborhood(argument: str, q, *required: str) -> Any:
    """q as a Neighborhood; refused if it lacks what is required of any or here."""
    ours = isinstance(q, Neighborhood)
    for name in required if ours else (*REQUIRED, *required):
        missing = f"{_kind(q)}, without `{name}`"
        has = answers(q, name) if ours else hasattr(q, name)
        check.require(has, argument, missing, "a neighbourhood that has it")
    if ours:
        return q
    answered = frozenset(name for name in ANSWERS if hasattr(q, name))
    return Adapted(q, answered, type(q))


def answers(q: Neighborhood, name: str) -> bool:
    """Whether q answers this itself, and not by its default."""
    if isinstance(q, Adapted):
        return name in q.answers
    return getattr(type(q), name) is not getattr(Neighborhood, name)


def as_part(argument: str, q, *required: str) -> Any:
    """A neighbourhood that others can be made of: a distribution over candidates."""
    q = as_neighborhood(argument, q, *required)
    check.require(q.shape[1] is not None, argument, "a continuum", "listed candidates")
    last = "it placed last: tiled(smooth(q)), not smooth(tiled(q))"
    check.require(not q.is_placed, argument, "a placed neighbourhood", last)
    pairs = "bernoulli last: bernoulli(smooth(q)), not smooth(bernoulli(q))"
    check.require(not q.per_pair, argument, "a distribution for each pair", pairs)
    return q
