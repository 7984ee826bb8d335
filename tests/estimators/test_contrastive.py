"""Do rows come together that share a label, are neighbours, or views of one?"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import quick
from few_rows import N, X

import icon
from icon.estimators import ContrastiveEncoder
from icon.evaluate import knn_accuracy


Y = np.arange(N) % 3
ROWS = X + 6 * np.eye(5)[Y]


LONGER = dict(max_iter=150, learning_rate=0.01)


def apart(z, y=Y):
    """The mean cosine within labels less that between them."""
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    cos, alike = u @ u.T, y[:, None] == y[None]
    return cos[alike].mean() - cos[~alike].mean()


def test_labels_bring_rows_together_and_new_ones_among_them():
    model = quick(ContrastiveEncoder, **LONGER).fit(ROWS, Y)
    assert apart(model.embedding_) > 0.9 > 0.5 > apart(ROWS - ROWS.mean(0))
    new = np.random.default_rng(3).normal(size=X.shape) + 6 * np.eye(5)[Y]
    assert apart(model.transform(new)) > 0.7
    words = quick(ContrastiveEncoder, **LONGER).fit(ROWS, np.array(["a", "b", "c"])[Y])
    assert np.array_equal(words.embedding_, model.embedding_)


def test_rows_without_a_label_are_no_anchors():
    few = np.where(np.arange(N) < 20, Y, -1)
    model = quick(ContrastiveEncoder, **LONGER).fit(ROWS, few)
    assert apart(model.embedding_[:20], Y[:20]) > 0.9 and model.affinities_ is None


def test_neighbors_come_together(family):
    model = quick(ContrastiveEncoder, n_neighbors=4).fit(X)
    index = np.asarray(icon.knn(np.float32(X), 4)[0])
    u = model.embedding_ / np.linalg.norm(model.embedding_, axis=1, keepdims=True)
    near = np.einsum("id,ikd->ik", u, u[index]).mean()
    assert near > 0.6 and near > (u @ u.T).mean() + 0.4
    np.testing.assert_array_equal(
        np.asarray(icon.dense(model.affinities_)) > 0,
        (index[:, :, None] == np.arange(N)).any(1),
    )


def noisy(key, x):
    return x + 0.3 * jax.random.normal(key, x.shape)


def test_views_of_a_row_come_together():
    model = quick(ContrastiveEncoder, views=noisy, q=icon.student_t).fit(X)
    z = model.transform(X), model.transform(X + 0.1)
    moved = np.linalg.norm(z[0] - z[1], axis=1).mean()
    spread = np.linalg.norm(z[0] - z[0].mean(0), axis=1).mean()
    assert moved < 0.3 * spread and model.affinities_ is None


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(nn.relu(nn.Dense(32)(x)))


def start(key, x):
    return dict(w=0.1 * jax.random.normal(key, (x.shape[1], 4)))


def linear(params, x):
    return x @ params["w"]


@pytest.mark.parametrize("model, width", [(Normed(), 3), ((start, linear), 4)])
def test_any_network_learns(model, width):
    found = quick(ContrastiveEncoder, model=model, learning_rate=0.02).fit(ROWS, Y)
    assert found.embedding_.shape == (N, width)
    assert found.loss_[-1] < 0.8 * found.loss_[0]
    assert np.array_equal(found.transform(ROWS[:7]), found.embedding_[:7])
    assert jnp.isfinite(found.embedding_).all()


LABELS = {
    "another number": (Y[:5], "5 labels"),
    "numbers": (X[:, 0], "continuous"),
    "rank 2": (np.ones((N, 2)), "shape"),
    "NaN": (np.where(Y == 1, np.nan, Y), "NaN"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_refused_by_what_is_wrong(case):
    y, got = LABELS[case]
    with pytest.raises(icon.InvalidInput, match="^y: ") as error:
        quick(ContrastiveEncoder).fit(X, y)
    assert got in str(error.value)


@pytest.mark.parametrize("name, value", [
    ("model", 3), ("q", 3), ("views", 3), ("batch_size", 1), ("max_iter", 0),
])  # fmt: skip
def test_a_setting_is_refused_by_name(name, value):
    with pytest.raises(icon.InvalidInput, match=f"^{name}: "):
        quick(ContrastiveEncoder, **{name: value}).fit(X)


@pytest.mark.slow
def test_new_digits_are_told_apart():
    x, y = icon.data.digits().features, icon.data.digits().labels
    for labels in (None, y[:1000]):
        model = ContrastiveEncoder(random_state=0).fit(x[:1000], labels)
        assert knn_accuracy(model.transform(x[1000:]), y[1000:]) > 0.93
