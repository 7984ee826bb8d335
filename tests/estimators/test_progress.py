"""Is a descent shown on stderr, and only where it is asked for?"""

import sys

import pytest
from few_rows import X, model

from icon.estimators.progress import phase, progress


def test_a_bar_reaches_its_end(capsys):
    model(verbose=1, max_iter=50).fit(X)
    printed = capsys.readouterr()
    assert "50/50" in printed.err and "loss" in printed.err and not printed.out


def test_phases_are_named_in_turn(capsys):
    model(verbose=1, max_iter=50).fit(X)
    printed = capsys.readouterr().err
    found = [printed.index(name) for name in ("neighbors: ", "affinities: ", "layout")]
    assert found == sorted(found) and " s\n" in printed


def test_a_phase_that_fails_has_no_seconds(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ValueError, match="a fault"), phase(1, "neighbors"):
        raise ValueError("a fault")
    assert capsys.readouterr().err == "neighbors ...\n"


def test_without_tqdm_there_are_lines(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress(True, 100, "layout") as callbacks:
        for step, loss in ((50, 2.0), (100, 1.23456)):
            assert [callback(step, loss, None) for callback in callbacks] == [None]
    printed = capsys.readouterr()
    assert printed.err == "step 50: loss 2.0000\nstep 100: loss 1.2346\n"
    assert not printed.out


def test_nothing_is_shown_unless_it_is_asked_for(capsys):
    with progress(0, 100, "layout") as callbacks:
        assert callbacks == []
    model(max_iter=0).fit(X)
    assert capsys.readouterr() == ("", "")
