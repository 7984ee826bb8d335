"""Is every setting refused by its name, or followed?"""

import inspect
import re

import numpy as np
import pytest
from few_rows import FAR, START, N, X, model, put

import icon
from icon.estimators import TSNE
from icon.estimators.settings import feasible, perplexities, reach, seed_of


SETTINGS = {
    "perplexity": [0, -1, 0.5, np.nan, np.inf, "a", True, [], [5, -1], None],
    "sigma": [0, -1, np.nan, np.inf, "a", 1e-30, 1e300],
    "n_components": [0, -1, 1.5, True, "2", None],
    "learning_rate": [0, -1, np.nan, np.inf, "fast", None],
    "early_exaggeration": [0, -1, np.nan, "a"],
    "early_exaggeration_iter": [-1, 1.5],
    "exaggeration": [0, np.inf],
    "max_iter": [-5, 1.5, "a"],
    "schedule": ["slow", None, 3],
    "random_state": ["a", -1, 2**32, 1.5, True],
    "init": ["foo", 5, None, np.zeros((3, 2)), put(np.nan, START), START + 1e300],
    "metric": ["foo", None, 3],
    "metric_params": [3, {"p": 3}],
    "affinity": ["foo", None],
    "n_neighbors": [0, 1.5],
    "neighbors": [3, (np.zeros((N, 3), int), np.ones((N, 3))), (FAR, FAR[:3])],
    "dof": [0, -1, np.nan, "a"],
    "tol": [-1, np.nan],
    "callbacks": [3, [3]],
}
USUAL = {"sigma": dict(perplexity=30.0)}
CASES = [(name, value) for name, values in SETTINGS.items() for value in values]
NAMES = [f"{name}-{i}" for i, (name, _) in enumerate(CASES)]


@pytest.mark.parametrize("name, value", CASES, ids=NAMES)
def test_a_setting_is_refused_by_name(name, value):
    with pytest.raises(icon.InvalidInput, match=f"^{name}: expected "):
        model(**USUAL.get(name, {}) | {name: value}).fit(X)


@pytest.mark.parametrize(
    "other", [dict(perplexity=8), dict(perplexity=[30.0, 8]), dict(affinity="uniform")]
)
def test_a_width_beside_another_rule_is_refused(other):
    with pytest.raises(icon.InvalidInput, match="^sigma: expected None, where"):
        TSNE(sigma=1.0, **other).fit(X)


def test_every_setting_is_documented_in_order():
    doc = inspect.getdoc(TSNE).split("Args:")[1].split("Attributes:")[0]
    names = re.findall(r"^    (\w+): ", doc, re.MULTILINE)
    assert names == list(inspect.signature(TSNE).parameters)
    assert set(names) - {"verbose"} == set(SETTINGS)
    assert list(TSNE().get_params()) == sorted(names)


def test_only_the_number_of_components_has_a_position():
    assert TSNE(3).n_components == 3
    with pytest.raises(TypeError):
        TSNE(3, 30)


# ------------------------------------------------------- what they become


def test_a_seed_is_its_own_and_none_is_a_new_one():
    assert seed_of(7) == seed_of(np.int64(7)) == 7
    assert seed_of(None) != seed_of(None)


@pytest.mark.parametrize("generator", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_seeds_in_its_order(generator):
    one, two = generator(3), generator(3)
    seeds = [seed_of(one), seed_of(one)]
    assert seeds == [seed_of(two), seed_of(two)] and seeds[0] != seeds[1]


@pytest.mark.parametrize(
    "given", [[5, 7.5], (5, 7.5), np.array([5, 7.5]), np.float32([5, 7.5])]
)
def test_perplexities_are_a_list_of_floats(given):
    assert perplexities(given) == [5.0, 7.5]
    assert perplexities(given[1]) == [7.5]


def test_perplexities_fit_the_rows():
    assert feasible([1, 30, 200], 100) == [1, 30, 33]
    assert feasible([30], 2) == [1]
    assert reach([5, 10]) == 30 and reach([3.1]) == 10
