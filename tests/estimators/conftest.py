"""What is fitted once for all tests of estimators?"""

import pytest
from family import quick
from few_rows import X, model

from icon.estimators import TSNE


@pytest.fixture(scope="session")
def fitted():
    return model().fit(X)


@pytest.fixture(scope="session")
def family(request):
    """An estimator of each kind, fitted when it is first asked for."""
    found = {}

    def of(kind):
        if kind is TSNE:
            return request.getfixturevalue("fitted")
        if kind not in found:
            found[kind] = quick(kind).fit(X)
        return found[kind]

    return of
