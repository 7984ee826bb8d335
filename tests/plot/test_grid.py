"""Does the table have the columns and rows that it is to have?"""

from table_rows import RESULTS, row

from icon.plot.grid import FEW, beyond_grid, by_square, grid
from icon.plot.results import COLUMNS, ROWS, pictures


MANY = pictures([*RESULTS, row("one more", "Graph", "Gaussian")])


def test_squares_are_in_the_order_in_which_they_first_occur():
    squares = by_square(pictures(RESULTS))
    assert list(squares)[:2] == [("Gaussian", "Student-t"), ("Gaussian", "Clusters")]
    graph = [shown.text["name"] for shown in squares["Graph", "Gaussian"]]
    assert graph == [f"graph method {i}" for i in range(5)]
    assert beyond_grid(squares) == [("Tokens", "Yes or no"), ("Classes", "Class sums")]


def test_many_pictures_have_the_grid_of_the_paper():
    assert len(MANY) == FEW + 1
    table = grid(MANY)
    assert (table.columns, table.rows) == ([*COLUMNS], [*ROWS]) and not table.few
    assert table.beyond == [("Tokens", "Yes or no"), ("Classes", "Class sums")]
    assert table.most == 6


def test_few_pictures_have_the_columns_and_rows_in_use_in_the_papers_order():
    table = grid(MANY[:FEW])
    columns = ["Gaussian", "Identity", "Graph", "kNN", "Cross-modal pairs", "Classes"]
    assert table.columns == [*columns, "Tokens"] and table.few
    assert table.rows == [*ROWS, "Yes or no", "Class sums"] and not table.beyond


def test_one_picture_has_one_square():
    table = grid(pictures([row("skip-gram", "Tokens", "Yes or no")]))
    assert (table.columns, table.rows) == (["Tokens"], ["Yes or no"])
