"""Is an estimator of the family what scikit-learn's tools and its own words expect?"""

import inspect
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from cases import slow, soon
from family import BASES, EVERY, FAMILY, FREE, NETWORKS, NEW, quick
from few_rows import FAR, N, X, put
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import icon
from icon.estimators import SNE, UMAP, ContrastiveEncoder, NeighborEmbedding
from icon.estimators.neighbors import nearest


OTHERS = X[:11] + 0.1
ALL = [pytest.param(kind, id=kind.__name__) for kind in FAMILY]
ADDED = [pytest.param(kind, id=kind.__name__) for kind in NEW]
MANY = [pytest.param(kind, id=kind.__name__) for kind in EVERY]
LEARNED = [pytest.param(kind, id=kind.__name__) for kind in NETWORKS]


# ------------------------------------------------------- is it the same?


@pytest.mark.parametrize("kind", ADDED)
def test_the_same_seed_is_the_same_bits(kind, family):
    again = clone(family(kind)).fit(X)
    assert np.array_equal(again.embedding_, family(kind).embedding_)
    assert np.array_equal(again.loss_, family(kind).loss_)
    other = quick(kind, random_state=1, max_iter=10)
    other = clone(other).set_params(init="random") if kind in FREE else other
    assert not np.array_equal(other.fit_transform(X), again.embedding_)


@pytest.mark.parametrize("kind", soon(EVERY, *BASES))
def test_a_new_row_has_its_bits_whatever_rows_are_beside_it(kind, family):
    model = family(kind)
    both = model.transform(OTHERS)
    halves = model.transform(OTHERS[:4]), model.transform(OTHERS[4:])
    assert np.array_equal(both, np.concatenate(halves))
    assert np.array_equal(both[::-1], model.transform(OTHERS[::-1]))
    many = model.transform(np.concatenate([X, X, OTHERS]))
    assert np.array_equal(many[-len(OTHERS) :], both)
    assert len(np.unique(both, axis=0)) == len(OTHERS)


@pytest.mark.parametrize("kind", MANY)
def test_a_new_row_far_from_all_others_has_a_place(kind, family):
    far = 1e4 * np.random.default_rng(5).normal(size=(20, X.shape[1]))
    assert np.isfinite(family(kind).transform(far)).all()


@pytest.mark.parametrize("kind", ALL)
def test_a_fitted_row_has_its_place(kind, family):
    model = family(kind)
    assert np.array_equal(model.transform(X), model.embedding_)
    assert model.embedding_.dtype == np.float32


@pytest.mark.parametrize("kind", MANY)
def test_a_pickle_is_the_fitted_model(kind, family):
    again = pickle.loads(pickle.dumps(family(kind)))
    assert np.array_equal(again.transform(OTHERS), family(kind).transform(OTHERS))
    names = list(again.get_feature_names_out())
    assert names[0] == f"{kind.__name__.lower()}0"
    assert len(names) == again.embedding_.shape[1]


@pytest.mark.parametrize("kind", soon(NEW, *BASES))
def test_it_changes_no_random_numbers_and_no_data(kind):
    before, state = X.copy(), np.random.get_state()[1].copy()
    quick(kind, random_state=None, max_iter=1).fit(X)
    assert np.array_equal(np.random.get_state()[1], state)
    assert np.array_equal(X, before)


# ------------------------------------------------------- what holds the rows


SAME = {
    "a unit of 2**66": X * 2.0**66,
    "a list": X.tolist(),
    "Fortran's order": np.asfortranarray(X),
    "objects": X.astype(object),
}


@pytest.mark.parametrize("case", ["a unit of 2**66", *map(slow, list(SAME)[1:])])
@pytest.mark.parametrize("kind", MANY)
def test_it_is_the_same_with(kind, case, family):
    found = quick(kind).fit_transform(SAME[case])
    assert np.array_equal(found, family(kind).embedding_)


REFUSED = {
    "NaN": (put(np.nan), "nan at row 3, column 2"),
    "sparse": (sp.csr_array(X), "sparse"),
    "one row": (X[:1], "1 sample"),
    "words": (X.astype(str), "strings"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("kind", MANY)
def test_data_is_refused_by_what_is_wrong(kind, case):
    x, got = REFUSED[case]
    with pytest.raises(icon.InvalidInput, match="^X: expected ") as error:
        quick(kind).fit(x)
    assert got in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", LEARNED)
def test_a_network_needs_features(kind):
    for metric in ("precomputed", "affinity", "foo"):
        with pytest.raises(icon.InvalidInput, match="^metric: "):
            quick(kind, metric=metric).fit(FAR)


# ------------------------------------------------------- neighbours that are given


@pytest.mark.parametrize("kind", soon(FREE, *BASES))
def test_given_distances_are_distances(kind):
    one = quick(kind, max_iter=0, init="random").fit(X)
    two = quick(kind, max_iter=0, init="random", metric="precomputed").fit(FAR)
    found = [np.asarray(icon.dense(model.affinities_)) for model in (one, two)]
    np.testing.assert_allclose(*found, atol=1e-5)
    assert two.n_features_in_ == N and two.__sklearn_tags__().input_tags.pairwise
    far = np.linalg.norm(OTHERS[:, None] - X[None], axis=-1)
    two.embedding_ = one.embedding_ = 1e4 * one.embedding_
    np.testing.assert_allclose(
        two.transform(far), one.transform(OTHERS), atol=0.02 * np.ptp(one.embedding_)
    )


@pytest.mark.parametrize("kind", soon(FREE, *BASES))
def test_given_neighbors_and_affinities_are_used(kind):
    pair = tuple(map(np.asarray, icon.knn(np.float32(X), 24)))
    alone = quick(kind, max_iter=0, n_neighbors=24).fit(X)
    given = quick(kind, max_iter=0, n_neighbors=24, neighbors=pair).fit(X)
    found = [np.asarray(icon.dense(model.affinities_)) for model in (alone, given)]
    np.testing.assert_allclose(*found, atol=1e-5)
    weight = np.exp(-FAR) * (FAR > 0)
    p = quick(kind, max_iter=0, metric="affinity").fit(sp.csr_array(weight))
    expected = weight / weight.sum(1, keepdims=True)
    np.testing.assert_allclose(icon.dense(p.affinities_), expected, atol=1e-5)
    with pytest.raises(icon.InvalidInput, match="^metric: "):
        p.transform(FAR)


# ------------------------------------------------------- as it goes


@pytest.mark.parametrize("kind", ADDED)
def test_callbacks_see_the_points_and_stop(kind):
    calls = []

    def stop(step, loss, z):
        calls.append((step, loss, z))
        return True

    model = quick(kind, callbacks=[stop], max_iter=100).fit(X)
    assert [step for step, *_ in calls] == [50] and model.n_iter_ == 50
    assert calls[0][1] == model.loss_[-1]
    assert type(calls[0][2]) is np.ndarray
    assert np.array_equal(calls[0][2], model.embedding_)


@pytest.mark.parametrize("kind", ADDED)
def test_ctrl_c_keeps_what_there_is(kind):
    def interrupt(step, loss, z):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 50 of") as caught:
        model = quick(kind, callbacks=(interrupt,), max_iter=100).fit(X)
    assert model.interrupted_ and caught[0].filename == __file__
    assert np.isfinite(model.embedding_).all() and model.embedding_.std() > 0


@pytest.mark.parametrize("kind", soon(NEW, SNE, ContrastiveEncoder))
def test_a_bar_reaches_its_end(kind, capsys):
    quick(kind, verbose=1, max_iter=50).fit(X)
    printed = capsys.readouterr()
    assert "50/50" in printed.err and "loss" in printed.err and not printed.out


# ------------------------------------------------------- a metric of one's own


def minkowski(anchor, candidates, order):
    return jnp.sum(jnp.abs(candidates - anchor[None]) ** order, 1) ** (1 / order)


def test_arguments_of_a_metric_are_handed_to_it():
    """Also for new rows; minkowski of order 3 is scipy's."""
    named = dict(metric=minkowski, metric_params=dict(order=3))
    given = quick(UMAP, max_iter=10, **named).fit(X)
    far = np.sort(cdist(X, X, "minkowski", p=3), 1)[:, 1:16]
    index, distance = nearest(np.float32(X), 15, given._metric, 0)
    np.testing.assert_allclose(distance, far, rtol=1e-5)
    p = icon.symmetrize(icon.fuzzy(index, distance), icon.union)
    np.testing.assert_array_equal(given.affinities_.logit, p.logit)
    one = given._metric
    assert given.transform(X[:3] + 0.01).shape == (3, 2)
    assert given._metric is one  # nothing is compiled again


def test_arguments_that_a_metric_does_not_take_are_refused():
    with pytest.raises(icon.InvalidInput, match="^metric: .*'order'"):
        quick(UMAP, metric=minkowski, metric_params=dict(power=3)).fit(X)
    with pytest.raises(icon.InvalidInput, match="^metric: .*'order'"):
        quick(UMAP, metric=minkowski).fit(X)
    quick(UMAP, max_iter=0, metric="cosine", metric_params={}).fit(X)


# ------------------------------------------------------- settings


SETTINGS = {
    "n_components": [0, 1.5, True],
    "max_iter": [-5, "a"],
    "learning_rate": [0, np.nan, "fast"],
    "metric": ["foo", None],
    "metric_params": [3, dict(order=3)],
    "n_neighbors": [0, 1.5],
    "neighbors": [3],
    "callbacks": [3, [3]],
    "random_state": ["a", -1],
}
CASES = [(name, value) for name, values in SETTINGS.items() for value in values]


@pytest.mark.parametrize("kind", ADDED)
def test_a_setting_is_refused_by_name(kind):
    for name, value in CASES:
        with pytest.raises(icon.InvalidInput, match=f"^{name}: expected "):
            quick(kind, **{name: value}).fit(X)


@pytest.mark.parametrize("kind", ALL)
def test_every_setting_is_documented_in_order(kind):
    doc = inspect.getdoc(kind).split("Args:")[1].split("Attributes:")[0]
    names = re.findall(r"^    (\w+): ", doc, re.MULTILINE)
    assert names == list(inspect.signature(kind).parameters)
    assert list(kind().get_params()) == sorted(names)
    with pytest.raises(TypeError):
        kind(2, 30)


# ------------------------------------------------------- scikit-learn


def test_it_is_piped_and_searched():
    y = np.arange(N) % 2
    x = X + 5 * y[:, None]
    encoder = quick(ContrastiveEncoder, max_iter=20)
    piped = make_pipeline(StandardScaler(), encoder, KNeighborsClassifier(3))
    grid = {"contrastiveencoder__n_components": [2, 4]}
    found = GridSearchCV(piped, grid, cv=2).fit(x, y)
    assert found.best_score_ > 0.9
    plane = make_pipeline(StandardScaler(), quick(SNE, max_iter=1))
    alone = quick(SNE, max_iter=1).fit_transform(StandardScaler().fit_transform(X))
    assert np.array_equal(plane.fit_transform(X), alone)


@pytest.mark.slow
def test_double_precision_comes_in_and_single_goes_out(x64):
    model = quick(NeighborEmbedding, max_iter=50).fit(X)
    assert model.embedding_.dtype == model.transform(OTHERS).dtype == np.float32
    assert jax.config.jax_enable_x64


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MANY)
def test_scikit_learn_agrees(kind):
    from sklearn.utils.estimator_checks import check_estimator

    checks = check_estimator(kind(), on_fail=None, on_skip=None)
    other = {x["check_name"]: x for x in checks if x["status"] != "passed"}
    # it is skipped unless the environment sets SCIPY_ARRAY_API
    assert set(other) <= {"check_array_api_input"}, other
    assert all(x["status"] == "skipped" for x in other.values())
    assert len(checks) > 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [
    "check_inplace_ensure_writeable",
    "check_transformer_get_feature_names_out",
    "check_get_feature_names_out_error",
    "check_set_output_transform",
])  # fmt: skip
@pytest.mark.parametrize("kind", ALL)
def test_the_further_checks_of_scikit_learn_pass(kind, name):
    from sklearn.utils import estimator_checks

    assert getattr(estimator_checks, name)(kind.__name__, kind()) is None


def test_tags_are_those_of_the_mixins():
    for kind in FAMILY:
        tags = kind().__sklearn_tags__()
        assert not (tags.no_validation or tags.non_deterministic or tags._skip_test)
        assert not tags.target_tags.required
