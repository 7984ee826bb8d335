"""Is a cell what it says: checked when it is built, with its numbers, and summed?"""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interpreter import interpret

import icon
from icon._table import Cell, formula, known, takes


LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
Z = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)


# ------------------------------------------------------- built


WRONG = {
    "no name": (dict(name=""), "name", "a name, got ''"),
    "blank name": (dict(name=" "), "name", "a name"),
    "a number for a name": (dict(name=3), "name", "a name, got 3"),
    "no p": (dict(p=None), "p", "a function, got None"),
    "no q": (dict(q="cosine"), "q", "a function, got 'cosine'"),
    "no loss": (dict(loss=0.5), "loss", "a function, got 0.5"),
    "status": (dict(status="knwon"), "status", "perhaps known, got 'knwon'"),
    "far status": (dict(status="x"), "status", "one of known, predicted, new, got 'x'"),
    "row": (dict(row="Gausian"), "row", "perhaps Gaussian, got 'Gausian'"),
    "far row": (dict(row="x"), "row", "one of Gaussian, σ → ∞, σ → 0, Student-t, "),
    "column": (dict(column="Clases"), "column", "perhaps Classes, got 'Clases'"),
    "far column": (dict(column="Friends"), "column", "one of Gaussian, Student-t, "),
    "task": (
        dict(learns_from="momentum key"),
        "learns_from",
        "perhaps momentum keys, got 'momentum key'",
    ),
    "far task": (dict(learns_from="luck"), "learns_from", "one of features, "),
    "a list of numbers": (dict(learned=[0.5]), "learned", "a dict by name, got a list"),
    "a number that nothing takes": (
        dict(learned={"width": 1.0}),
        "learned",
        "the name of an argument of p or q, got 'width'",
    ),
    "a number without a name": (
        dict(learned={3: 1.0}),
        "learned",
        "the name of an argument of p or q, got 3",
    ),
    "a word for a number": (
        dict(learned={"temperature": "hot"}),
        "learned['temperature']",
        "",
    ),
    "a learned nan": (
        dict(learned={"temperature": float("nan")}),
        "learned['temperature']",
        "",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_cell_is_refused_by_its_argument(case):
    given, argument, words = WRONG[case]
    with pytest.raises(icon.InvalidInput) as error:
        Cell(**dict(name="c", p=icon.same, q=icon.cosine) | given)
    assert error.value.argument == argument
    assert str(error.value).startswith(f"{argument}: expected {words}")


def test_a_function_of_the_data_may_have_a_column_of_its_own():
    cell = Cell("c", icon.same, icon.cosine, learns_from=lambda m: m, column="mine")
    assert cell.column == "mine" and cell.status == "new" and cell.row == ""


def test_a_name_is_itself_or_near_ones_are_suggested():
    names = ("SimCLR", "SupCon", "MoCo v3", "")
    assert known("cells", "SupCon", names) == "SupCon"
    assert known("cells", "", names) == ""
    for got, words in {
        "SimCRL": "cells: expected perhaps SimCLR, got 'SimCRL'",
        "x": "cells: expected one of SimCLR, SupCon, MoCo v3, got 'x'",
        3: "cells: expected one of SimCLR, SupCon, MoCo v3, got 3",
    }.items():
        with pytest.raises(icon.InvalidInput) as error:
            known("cells", got, names)
        assert str(error.value) == words


def test_arguments_are_tuples():
    cell = Cell("c", icon.same, icon.cosine)
    for given, name in ((([0, 0], (Z,)), "evidence"), (((LABELS,), Z), "embedding")):
        with pytest.raises(icon.InvalidInput, match=f"^{name}: expected a tuple"):
            cell(*given)


# ------------------------------------------------------- learned numbers


def positional(temperature, /, z):
    return z


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda z, temperature: z, True),
        (lambda z, *, temperature=1.0: z, True),
        (lambda z, **options: z, True),
        (ft.partial(icon.cosine, temperature=0.1), True),
        (icon.cosine, True),
        (icon.same, False),
        (lambda z: z, False),
        (lambda z, *temperature: z, False),
        (positional, False),
        (max, False),  # of a builtin that says nothing
    ],
)
def test_a_number_is_handed_to_a_function_that_has_its_name(function, found):
    assert takes(function, "temperature") is found


def of_width(x, width=1.0):
    return icon.gaussian(x, scale=width)


NUMBERS = Cell(
    "numbers",
    of_width,
    icon.cosine,
    learned={"width": icon.positive(0.8), "temperature": icon.positive(0.3)},
)


def test_learned_numbers_are_handed_to_p_and_q_by_name():
    at = lambda width, hot: icon.kl(of_width(X, width), icon.cosine(Z, temperature=hot))
    assert NUMBERS((X,), (Z,)) == pytest.approx(float(at(0.8, 0.3)), rel=1e-6)
    other = {"width": icon.positive(1.5), "temperature": jnp.float32(0.2)}
    found = NUMBERS((X,), (Z,), other)
    assert found == pytest.approx(float(at(1.5, 0.2)), rel=1e-6)
    p, q = NUMBERS.neighborhoods((X,), (Z,), other)
    assert p.params["scale"] == 1.5 and q.params["temperature"] == np.float32(0.2)


def test_the_gradient_in_a_learned_number_is_that_of_the_formula():
    both = {"width": jnp.float32(0.8), "temperature": jnp.float32(0.3)}
    found = jax.grad(lambda learned: NUMBERS((X,), (Z,), learned))(both)
    loss = lambda width, hot: icon.kl(
        of_width(X, width), icon.cosine(Z, temperature=hot)
    )
    wanted = jax.grad(loss, (0, 1))(jnp.float32(0.8), jnp.float32(0.3))
    np.testing.assert_allclose(
        [found["width"], found["temperature"]], wanted, rtol=1e-5
    )
    assert min(map(abs, wanted)) > 1e-3


def test_a_learned_number_is_learned_by_its_logarithm():
    learned = dict(NUMBERS.learned)
    found = jax.grad(lambda learned: NUMBERS((X,), (Z,), learned))(learned)
    numbers = {name: x.value for name, x in learned.items()}
    plain = jax.grad(lambda learned: NUMBERS((X,), (Z,), learned))(numbers)
    for name, x in numbers.items():  # d/d log t = t d/dt
        np.testing.assert_allclose(found[name].log, x * plain[name], rtol=1e-5)


def test_a_number_of_both_p_and_q_is_one():
    cell = Cell("c", icon.cosine, icon.cosine, learned={"temperature": 0.5})
    p, q = cell.neighborhoods((X,), (Z,), {"temperature": 0.25})
    assert p.params["temperature"] == q.params["temperature"] == 0.25


def test_options_go_to_the_loss():
    cell = Cell("c", icon.same, icon.student_t)
    joint = icon.kl(icon.same(LABELS), icon.student_t(Z), joint=True)
    assert cell((LABELS,), (Z,), joint=True) == joint != cell((LABELS,), (Z,))


# ------------------------------------------------------- sums


A = Cell(
    "a",
    icon.same,
    icon.cosine,
    column="Classes",
    row="Gaussian",
    learned={"temperature": icon.positive(0.2)},
)
B = Cell("b", icon.gaussian, icon.student_t, icon.tv, "features")
HOT = Cell("hot", icon.same, icon.cosine, learned={"temperature": 0.5}, column="Graph")


def test_a_sum_is_the_weighted_sum_of_its_parts_and_so_is_its_gradient():
    both = 0.5 * A + B
    evidence = (LABELS,), (X,)

    def whole(z, w):
        return both(evidence, ((z,), (w,)))

    def apart(z, w):
        return 0.5 * A((LABELS,), (z,)) + B((X,), (w,))

    w = Z[::-1].copy()
    (found, gradient), (value, wanted) = (
        interpret(jax.value_and_grad(f, (0, 1)), Z, w) for f in (whole, apart)
    )
    assert found == pytest.approx(float(value), rel=1e-6)
    for one, two in zip(gradient, wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
        assert np.abs(two).max() > 1e-3
    assert [weight for weight, _ in both.parts] == [0.5, 1.0]
    assert [cell.name for _, cell in both.parts] == ["a", "b"]


def test_the_gradient_of_a_sum_in_a_learned_number_is_that_of_its_part():
    both = 0.5 * A + B
    evidence, embedding = ((LABELS,), (X,)), ((Z,), (Z,))
    at = {"temperature": jnp.float32(0.2)}
    found = jax.grad(lambda t: both(evidence, embedding, t))(at)
    alone = jax.grad(lambda t: A((LABELS,), (Z,), t))(at)
    np.testing.assert_allclose(
        found["temperature"], 0.5 * alone["temperature"], rtol=1e-5
    )


def test_a_sum_of_sums_is_one_sum():
    """Weights multiply, whichever way it is put together."""
    for nested in (2 * (0.5 * A + B) + HOT, 1.0 * A + (2 * B + HOT)):
        assert [weight for weight, _ in nested.parts] == [1.0, 2.0, 1.0]
        assert [cell.name for _, cell in nested.parts] == ["a", "b", "hot"]
        found = nested(((LABELS,), (X,), (LABELS,)), ((Z,), (Z,), (Z,)))
        parts = A((LABELS,), (Z,)) + 2 * B((X,), (Z,)) + HOT((LABELS,), (Z,))
        assert found == pytest.approx(float(parts), rel=1e-6)


def test_a_sum_that_learns_from_one_thing_stays_one_cell():
    whole = icon.TABLE["distillation"]
    both = 0.5 * whole + HOT
    assert [cell for _, cell in both.parts] == [whole, HOT]
    assert both.learns_from == ("a teacher", "Graph")
    one = ((X,), (LABELS, np.arange(4, dtype=np.int32))), ((X[::-1],), (X,))
    two = (LABELS,), (Z,)
    found = both(*zip(one, two, strict=True))
    assert found == pytest.approx(float(0.5 * whole(*one) + HOT(*two)), rel=1e-6)


def test_numbers_of_the_same_name_stay_apart():
    both = A + HOT
    assert {*both.learned} == {"temperature of a (1)", "temperature of hot (2)"}
    values = {"temperature of a (1)": 0.3, "temperature of hot (2)": 0.7}
    found = both(((LABELS,), (LABELS,)), ((Z,), (Z,)), values)
    at = lambda cell, t: cell((LABELS,), (Z,), {"temperature": t})
    assert found == pytest.approx(float(at(A, 0.3) + at(HOT, 0.7)), rel=1e-6)
    twice = A + A  # the same cell, of two data
    assert len(twice.learned) == 2


def test_the_first_of_a_sum_has_its_own_numbers():
    cell, numbers = (A + HOT + B).first(
        {"temperature of a (1)": 0.3, "temperature of hot (2)": 0.7}
    )
    assert cell is A and numbers == {"temperature": 0.3}
    assert B.first({}) == (B, {})
    cell, numbers = (B + A).first({"temperature": 0.3})
    assert cell is B and numbers == {}


def test_a_sum_is_in_the_square_of_its_first_and_learns_from_both():
    both = A + B
    assert (both.row, both.column) == ("Gaussian", "Classes")
    assert both.learns_from == ("Classes", "features")


def test_a_sum_is_written_as_the_sum():
    both = 0.5 * A + B
    assert both.name == "0.5 a + b"
    assert formula(both.p) == "same & gaussian"
    assert formula(both.q) == "cosine & student_t"
    assert formula(both.loss) == "0.5 kl + tv"
    three = 0.25 * both + ft.reduce(lambda one, two: one + two, [B, B])
    assert three.name == "0.125 a + 0.25 b + b + b"
    assert formula(three.loss) == "0.125 kl + 0.25 tv + tv + tv"


def test_cells_are_looked_up_by_what_they_are():
    """A sum too: programs are kept by it."""
    both = 0.5 * A + B
    assert {both: 1}[0.5 * A + B] == 1 and {A: 1}[A] == 1
    assert both != 0.25 * A + B


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), float("inf"), "2", None])
def test_a_weight_is_a_number_above_zero(weight):
    with pytest.raises(icon.InvalidInput) as error:
        weight * A
    assert error.value.argument == "weight"


def test_only_cells_are_added():
    with pytest.raises(icon.InvalidInput, match="^cell: expected a Cell to add"):
        A + 1
