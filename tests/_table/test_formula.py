"""Is a function written as its author would?"""

import functools as ft

import icon
from icon._table.formula import formula


class Callable:
    def __call__(self, x):
        return x


def test_a_function_is_its_name():
    assert formula(icon.kl) == "kl" and formula(len) == "len"


def test_an_object_that_can_be_called_is_the_name_of_its_class():
    assert formula(Callable()) == "Callable"


def test_a_partial_has_its_arguments():
    heavy = ft.partial(icon.student_t, dof=30.0)
    assert formula(heavy) == "student_t(dof=30)"
    assert formula(ft.partial(icon.knn, 3, kernel=heavy, scale=0.5**0.5)) == (
        "knn(3, kernel=student_t(dof=30), scale=0.707)"
    )


def test_a_lambda_is_its_expression():
    assert formula(lambda x: x**2 + 1) == "x**2 + 1"
    wrapped = lambda first, second: icon.both_ways(icon.kl)(
        first, second, weight=None
    )  # fmt: skip
    assert formula(wrapped) == "icon.both_ways(icon.kl)( first, second, weight=None )"


def test_a_lambda_without_source_is_a_function():
    assert formula(eval("lambda x: x + 1")) == "a function"


def test_every_part_of_the_table_is_written():
    for cell in icon.TABLE.values():
        for part in (cell.p, cell.q, cell.loss):
            assert formula(part) not in ("", "a function", "<lambda>"), cell.name
