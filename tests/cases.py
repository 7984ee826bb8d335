"""Which cases of a test run by default? The others are marked slow."""

import pytest


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def soon(cases, *first):
    """All of these cases, of which the first ones alone run by default."""
    return [case if case in first else slow(case) for case in cases]
