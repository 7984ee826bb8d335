"""Is t-SNE good, the same every time, and unmoved by odd data?"""

import pickle

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import icon
from icon._neighborhoods.graph import to_sparse
from icon.estimators import TSNE
from icon.evaluate import trustworthiness
from icon.recipes import layout as _layout


N = 60
X = np.random.default_rng(0).normal(size=(N, 5)) * [9, 4, 2, 1, 1]
FAR = np.linalg.norm(X[:, None] - X[None], axis=-1)
START = np.random.default_rng(1).normal(size=(N, 2))
LINES = _layout.principal(np.float32(X), 2, np.random.default_rng(0))


def model(**options):
    quick = dict(perplexity=8, max_iter=100, early_exaggeration_iter=50)
    return TSNE(**quick | dict(random_state=0) | options)


def near(one, two, share):
    """Whether two layouts differ by less than a share of their span."""
    return np.abs(one - two).max() < share * np.ptp(two, 0).max()


@pytest.fixture(scope="module")
def fitted():
    return model().fit(X)


# ------------------------------------------------------- is it good?


OLD = 300  # digits that are fitted


@pytest.fixture(scope="module")
def digits():
    x = icon.data.digits().features
    return x, TSNE(random_state=0).fit(x[:OLD])


def test_digits_keep_their_neighbors(digits):
    x, tsne = digits
    assert trustworthiness(x[:OLD], tsne.embedding_) >= 0.97
    assert tsne.n_iter_ == 750 and len(tsne.loss_) == 15
    assert tsne.perplexity_ == 30 and tsne.learning_rate_ == OLD
    assert tsne.embedding_.dtype == np.float32 and 0.2 < tsne.kl_divergence_ < 1
    exact = icon.kl(tsne.affinities_, icon.student_t(tsne.embedding_), joint=True)
    np.testing.assert_allclose(tsne.kl_divergence_, exact, rtol=1e-4)


@pytest.mark.slow
def test_all_digits_keep_their_neighbors():
    x = icon.data.digits().features
    assert trustworthiness(x, TSNE(random_state=0).fit_transform(x)) > 0.985


def test_a_row_that_is_nearly_known_lands_where_that_is(digits):
    x, tsne = digits
    moved = x[:100] + np.float32(1e-3)
    span = np.ptp(tsne.embedding_, 0).max()
    away = np.linalg.norm(tsne.transform(moved) - tsne.embedding_[:100], axis=1)
    assert 0 < np.median(away) <= 0.02 * span
    assert np.array_equal(tsne.transform(x[:3]), tsne.embedding_[:3])


def test_new_digits_land_among_their_own(digits):
    x, tsne = digits
    y = icon.data.digits().labels
    new = tsne.transform(x[OLD : OLD + 200])
    apart = np.linalg.norm(new[:, None] - tsne.embedding_[None], axis=-1)
    assert (y[apart.argmin(1)] == y[OLD : OLD + 200]).mean() > 0.85


def test_it_does_not_matter_who_comes_along(digits):
    x, tsne = digits
    new = x[OLD : OLD + 100]
    whole = tsne.transform(new)
    parts = [tsne.transform(new[i : i + 5]) for i in (0, 5)]
    assert near(np.concatenate(parts), whole[:10], 1e-3)
    parts = [tsne.transform(new[i : i + 1]) for i in range(3)]
    assert near(np.concatenate(parts), whole[:3], 1e-3)


# ------------------------------------------------------- is it the same?


def test_the_same_seed_is_the_same_bits(fitted):
    again = clone(fitted).fit(X)
    assert np.array_equal(again.embedding_, fitted.embedding_)
    one, two, other = (model(init="random", random_state=k).fit(X) for k in (1, 1, 2))
    assert np.array_equal(one.embedding_, two.embedding_)
    assert not np.array_equal(one.embedding_, other.embedding_)


def test_it_touches_no_random_numbers_and_no_data(fitted):
    before, state = X.copy(), np.random.get_state()[1].copy()
    model(init="random", random_state=None, max_iter=0).fit(X)
    assert np.array_equal(np.random.get_state()[1], state)
    assert np.array_equal(X, before)
    own = np.random.RandomState(3)
    model(random_state=own, max_iter=0).fit(X)
    assert own.get_state()[2] != np.random.RandomState(3).get_state()[2]


def test_what_travels_is_what_was_fitted(fitted):
    there = pickle.loads(pickle.dumps(fitted))
    new = X[:4] + 0.1
    assert np.array_equal(there.transform(new), fitted.transform(new))
    assert list(there.get_feature_names_out()) == ["tsne0", "tsne1"]
    piped = make_pipeline(StandardScaler(), model(max_iter=0))
    assert piped.fit_transform(X).shape == (N, 2)


SAME = {
    "a unit of 2**66": X * 2.0**66,
    "a unit of 2**-500": X * 2.0**-500,
    "a constant feature": np.c_[X, np.full(N, 7.0)],
    "a list": X.tolist(),
    "objects": X.astype(object),
    "Fortran's order": np.asfortranarray(X),
    "strides backwards": X[::-1].copy()[::-1],
    "big-endian": X.astype(">f8"),
    "a wider float": X.astype(np.longdouble),
}


@pytest.mark.parametrize("what", SAME)
def test_it_is_the_same_with(what, fitted):
    assert np.array_equal(model().fit_transform(SAME[what]), fitted.embedding_)


NEARLY = {
    "a unit of 1e20": X * 1e20,
    "a unit of 1e160": X * 1e160,
    "a unit of 1e-30, float32": np.float32(X * 1e-30),
    "an offset of 1e8": X + 1e8,
}


@pytest.mark.parametrize("what", NEARLY)
def test_affinities_are_nearly_the_same_with(what, fitted):
    p = model(max_iter=0).fit(NEARLY[what]).affinities_
    one, two = (to_sparse(p).toarray() for p in (p, fitted.affinities_))
    np.testing.assert_allclose(one, two, atol=1e-5)


ODD = {
    "float16": X.astype(np.float16),
    "float16 whose squares overflow": (X * 1e3).astype(np.float16),
    "bfloat16": X.astype(ml_dtypes.bfloat16),
    "JAX's": jnp.asarray(X, jnp.float32),
    "int8": np.int8(X * 3),
    "uint8": np.uint8(abs(X) * 3),
    "half the rows twice": np.r_[X[:30], X[:30]],
    "one feature": X[:, :1],
    "an outlier": np.r_[X[:-1], X[-1:] * 1e15],
    "an offset of 1e4, float32": np.float32(X + 1e4),
}


@pytest.mark.filterwarnings("ignore:1 of 60 anchors:UserWarning")  # the outlier
@pytest.mark.parametrize("what", ODD)
def test_it_lays_out(what):
    z = model(max_iter=50).fit_transform(ODD[what])
    assert np.isfinite(z).all() and len(np.unique(z, axis=0)) >= 30
    assert z.dtype == np.float32


@pytest.mark.parametrize("x", [np.ones((N, 5)), np.float32(X + 1e9)])
def test_rows_that_are_all_one_are_laid_out_with_one_warning(x):
    with pytest.warns(UserWarning, match="all rows of X are identical") as said:
        z = model(max_iter=50).fit_transform(x)
    assert len(said) == 1 and np.isfinite(z).all() and len(np.unique(z, axis=0)) == N


# ------------------------------------------------------- perplexity


@pytest.mark.parametrize("n", [2, 3, 10])
def test_perplexity_is_lowered_once(n):
    with pytest.warns(UserWarning, match="perplexity 30 is too large") as said:
        tsne = TSNE(max_iter=50).fit(X[:n])
    assert len(said) == 1 and tsne.perplexity_ == max(1, (n - 1) / 3)
    assert np.isfinite(tsne.embedding_).all()


def test_several_perplexities_are_the_mean_of_their_affinities():
    tsne = model(perplexity=[4, 8], n_neighbors=24, max_iter=0).fit(X)
    each = [model(perplexity=h, n_neighbors=24, max_iter=0).fit(X) for h in (4, 8)]
    dense = lambda tsne: to_sparse(tsne.affinities_).toarray()
    mean = sum(map(dense, each)) / 2
    np.testing.assert_allclose(dense(tsne), mean, atol=1e-6)
    assert tsne.perplexity_ == [4, 8]


def test_uniform_neighbors_are_all_alike():
    tsne = model(affinity="uniform", max_iter=0).fit(X)
    weight = to_sparse(tsne.affinities_)
    assert tsne.perplexity_ is None and np.isclose(weight.sum(), N)
    assert set(np.round(weight.data * 30).astype(int)) == {1, 2}  # one way, or both


# ------------------------------------------------------- what is given


SOON = 50  # steps after which a rounding may already be another layout


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.coo_matrix])
def test_given_distances_are_distances(form):
    one = model(init=LINES, max_iter=SOON).fit(X)
    two = model(init=LINES, max_iter=SOON, metric="precomputed").fit(form(FAR))
    told, meant = (to_sparse(m.affinities_).toarray() for m in (two, one))
    np.testing.assert_allclose(told, meant, atol=1e-5)
    if form is np.asarray:
        new = X[:3] + 0.1
        two.embedding_ = one.embedding_
        far = np.linalg.norm(new[:, None] - X[None], axis=-1)
        assert near(two.transform(far), one.transform(new), 0.02)


def test_given_neighbors_are_neighbors(fitted):
    pair = tuple(map(np.asarray, icon.knn(np.float32(X), 24)))
    given = model(neighbors=pair, max_iter=0).fit(X)
    one, two = (to_sparse(m.affinities_).toarray() for m in (given, fitted))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_given_affinities_are_used(fitted):
    weights = to_sparse(fitted.affinities_)
    options = dict(metric="affinity", init=LINES)
    tsne = model(**options, max_iter=SOON).fit(weights + sp.eye_array(N))
    told = to_sparse(tsne.affinities_).toarray()
    np.testing.assert_allclose(
        told / told.sum(), weights.toarray() / weights.sum(), atol=1e-7
    )
    dense = model(**options, max_iter=0).fit(weights.toarray())
    one, two = (icon.dense(m.affinities_) for m in (dense, tsne))
    np.testing.assert_allclose(one, two, atol=1e-6)
    with pytest.raises(icon.InvalidInput, match="^metric: "):
        tsne.transform(FAR)


def _taxi(a, b):
    return jnp.sum(jnp.abs(b - a[None]), 1)


def test_a_metric_of_ones_own_is_followed():
    own = model(metric=_taxi, max_iter=0).fit(X).affinities_
    known = model(metric="manhattan", max_iter=0).fit(X).affinities_
    one, two = (to_sparse(p).toarray() for p in (own, known))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_angles_are_from_the_origin():
    x = X + 20
    p = model(metric="cosine", max_iter=0).fit(x).affinities_
    index, distance = icon.knn(np.float32(x), 24, metric="cosine")
    exact = icon.symmetrize(icon.entropic(index, distance, perplexity=8))
    one, two = (to_sparse(p).toarray() for p in (p, exact))
    np.testing.assert_allclose(one, two, atol=1e-3)


# ------------------------------------------------------- where it starts


@pytest.mark.parametrize("init", ["pca", "spectral", "random", START, START.tolist()])
def test_zero_steps_are_the_start(init):
    tsne = model(init=init, max_iter=0).fit(X)
    size = tsne.embedding_[:, 0].std()
    assert np.isclose(size, 1e-4 if isinstance(init, str) else START[:, 0].std(), 0.5)
    assert tsne.n_iter_ == 0 and tsne.kl_divergence_ > 0
    if not isinstance(init, str):
        assert np.array_equal(tsne.embedding_, np.float32(START))


def test_a_graph_that_falls_apart_says_what_it_starts_from():
    parts = np.r_[X[:30], X[30:] + 1e4]
    with pytest.warns(UserWarning, match="'pca' is used") as said:
        z = model(init="spectral", max_iter=0).fit_transform(parts)
    assert len(said) == 1
    assert np.array_equal(z, model(max_iter=0).fit_transform(parts))
    two = np.kron(np.eye(2), np.ones((30, 30)))
    with pytest.warns(UserWarning, match="'random' is used"):
        model(metric="affinity", max_iter=0).fit(two)


@pytest.mark.parametrize("columns", [1, 3, 9])
def test_any_number_of_components(columns):
    z = model(n_components=columns, max_iter=50).fit_transform(X)
    assert z.shape == (N, columns) and (z.std(0) > 0).all()


# ------------------------------------------------------- when it ends


def test_callbacks_see_the_layout_and_stop_it():
    seen = []

    def stop(step, loss, z):
        seen.append((step, loss, z))
        return step >= 50

    tsne = model(callbacks=[stop]).fit(X)
    assert [step for step, *_ in seen] == [50] and tsne.n_iter_ == 50
    assert seen[0][1] == tsne.loss_[-1]
    assert np.array_equal(seen[0][2], tsne.embedding_)


def test_ctrl_c_keeps_what_there_is(fitted):
    def interrupt(step, loss, z):
        if step == 50:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 50 of 100 steps"):
        tsne = model(callbacks=(interrupt,)).fit(X)
    half = model(max_iter=50).fit(X)
    assert np.array_equal(tsne.embedding_, half.embedding_)
    assert tsne.kl_divergence_ == half.kl_divergence_ > fitted.kl_divergence_


def test_tol_ends_a_run_that_hardly_improves(fitted):
    assert model(max_iter=250, tol=1.0).fit(X).n_iter_ == 200
    assert fitted.n_iter_ == 100


def test_the_divergence_is_not_exaggerated(fitted):
    strong = model(exaggeration=4.0).fit(X)
    q = icon.student_t(jnp.asarray(strong.embedding_))
    exact = icon.kl(strong.affinities_, q, joint=True)
    np.testing.assert_allclose(strong.kl_divergence_, exact, rtol=1e-4)
    assert np.ptp(strong.embedding_) < np.ptp(fitted.embedding_)


def test_a_lighter_tail_is_another_layout(fitted):
    assert np.ptp(model(dof=10.0).fit_transform(X)) < np.ptp(fitted.embedding_)


def test_divergence_keeps_the_last_layout():
    with pytest.raises(icon.DivergenceError) as said:
        model(init=START * 1e30).fit(X)
    assert said.value.partial.shape == (N, 2)


def test_progress_is_told_on_stderr(capsys, monkeypatch):
    model(verbose=1, max_iter=50).fit(X)
    assert "50/50" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    model(verbose=1, max_iter=50).fit(X)
    assert capsys.readouterr().err.startswith("step 50: loss ")


# ------------------------------------------------------- what is refused


def put(value, x=X):
    return np.where(np.arange(x.size).reshape(x.shape) == 17, value, x)


DATA = {
    "NaN": (put(np.nan), "NaN at row 3, column 2"),
    "inf": (put(-np.inf), "-inf at row 3, column 2"),
    "None": ([[1.0, None], [2.0, 3.0]], "NaN at row 0, column 1"),
    "complex": (X + 0j, "Complex data not supported"),
    "words": (X.astype(str), "strings"),
    "dates": (X.astype("M8[s]"), "datetime64"),
    "sparse": (sp.csr_array(X), "sparse"),
    "masked": (np.ma.masked_greater(X, 1), "masked"),
    "ragged": ([[1, 2], [3]], "inhomogeneous"),
    "a vector": (X[0], "1D array"),
    "rank 3": (X[None], "dim 3"),
    "None at all": (None, "scalar"),
    "no row": (X[:0], "0 sample"),
    "one row": (X[:1], "1 sample"),
    "no column": (X[:, :0], "0 feature"),
}


@pytest.mark.parametrize("what", DATA)
def test_data_is_refused_by_what_is_wrong(what):
    x, said = DATA[what]
    with pytest.raises(icon.InvalidInput, match="^X: expected ") as error:
        model().fit(x)
    assert said in str(error.value) and "\n" not in str(error.value)


GIVEN = {
    "not square": FAR[:5],
    "negative": -FAR,
    "NaN": put(np.nan, FAR),
    "not symmetric": FAR * np.arange(1, N + 1),
    "a diagonal": FAR + 1,
    "words": FAR.astype(str),
    "one": FAR[:1, :1],
    "few entries": sp.csr_array(FAR * (FAR < 3)),
}


@pytest.mark.parametrize("what", GIVEN)
def test_distances_are_refused(what):
    with pytest.raises(icon.InvalidInput, match="^X: expected "):
        model(metric="precomputed").fit(GIVEN[what])


SETTINGS = {
    "perplexity": [0, -1, 0.5, np.nan, np.inf, "a", True, [], [5, -1], None],
    "n_components": [0, -1, 1.5, True, "2", None],
    "learning_rate": [0, -1, np.nan, np.inf, "fast", None],
    "early_exaggeration": [0, -1, np.nan, "a"],
    "early_exaggeration_iter": [-1, 1.5],
    "exaggeration": [0, np.inf],
    "max_iter": [-5, 1.5, "a", None],
    "random_state": ["a", -1, 2**32, 1.5, True],
    "init": ["foo", 5, None, np.zeros((3, 2)), put(np.nan, START), START + 1e300],
    "metric": ["foo", None, 3],
    "affinity": ["foo", None],
    "n_neighbors": [0, 1.5],
    "neighbors": [3, (np.zeros((N, 3), int), np.ones((N, 3))), (FAR, FAR[:3])],
    "dof": [0, -1, np.nan, "a"],
    "tol": [-1, np.nan],
    "callbacks": [3, [3]],
}
CASES = [(name, value) for name, values in SETTINGS.items() for value in values]
NAMES = [f"{name}-{i}" for i, (name, _) in enumerate(CASES)]


@pytest.mark.parametrize("name, value", CASES, ids=NAMES)
def test_a_setting_is_refused_by_name(name, value):
    with pytest.raises(icon.InvalidInput, match=f"^{name}: expected "):
        model(**{name: value}).fit(X)


def test_rows_without_a_direction_have_no_angles():
    with pytest.raises(icon.InvalidInput, match="^X: .* row 4"):
        model(metric="cosine").fit(X * (np.arange(N) != 4)[:, None])


def test_another_number_of_features_is_refused(fitted):
    with pytest.raises(icon.InvalidInput, match="X has 4 features, but TSNE"):
        fitted.transform(X[:, :4])
    with pytest.raises(icon.InvalidInput, match="^X: .* NaN at row 3"):
        fitted.transform(put(np.nan))


@pytest.mark.slow
def test_scikit_learn_agrees():
    from sklearn.utils.estimator_checks import check_estimator

    checks = check_estimator(TSNE(), on_fail=None)
    assert {x["check_name"] for x in checks if x["status"] == "failed"} == set()
