"""Does an absent package name the extra that has it?"""

import json
import sys

import pytest

from icon._base.extras import required


def test_a_module_that_is_installed_is_that_module():
    assert required("json", "any") is json


def test_one_that_is_not_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    cure = r"^matplotlib is missing: pip install 'icon-jax\[plot\]'$"
    with pytest.raises(ImportError, match=cure):
        required("matplotlib", "plot")
