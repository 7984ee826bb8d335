"""What is fitted once for all tests of estimators?"""

import pytest
from few_rows import X, model


@pytest.fixture(scope="session")
def fitted():
    return model().fit(X)
