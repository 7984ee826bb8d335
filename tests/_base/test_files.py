"""Is a file either the old one or the new one, whole?"""

import os

import pytest

from icon._base.files import replace


def test_what_is_written_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    for content in (b"old", b"new, and longer"):
        replace(str(path), content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        replace(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
