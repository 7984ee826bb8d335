"""Is each metric the distance of its name?"""

import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from scipy.spatial.distance import cdist

import icon
from icon._search.metrics import METRICS, euclidean_length, named


SCIPY = dict(zip(METRICS, METRICS, strict=True)) | {"manhattan": "cityblock"}


@pytest.mark.parametrize("scale", [1e-30, slow(1.0), 1e30])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_the_length_of_a_difference(name, scale):
    rng, metric = np.random.default_rng(0), METRICS[name]
    a, b = rng.normal(size=(2, 9, 5))
    prepared = (jnp.asarray(x * scale, jnp.float32) for x in (a, b))
    x, y, unit = metric.prepare(*prepared)
    distance = metric.restore(metric.length(x[:, None] - y[None]), unit)
    exact = cdist(a, b, SCIPY[name])
    exact = exact * scale if name in ("euclidean", "manhattan") else exact
    np.testing.assert_allclose(distance, exact, rtol=1e-5)


def test_a_length_whose_squares_are_no_floats():
    difference = jnp.array([[3e-30, 4e-30], [3e30, 4e30], [0.0, 0.0]])
    exact = np.float32([5e-30, 5e30, 0])
    np.testing.assert_allclose(euclidean_length(difference), exact, rtol=1e-6)


def test_another_name_is_refused_with_those_there_are():
    text = "^metric: expected one of euclidean, .*manhattan, or yours, got 'cityblock'"
    with pytest.raises(icon.InvalidInput, match=text):
        named("cityblock", "yours")
