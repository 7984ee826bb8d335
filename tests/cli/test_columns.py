"""Is every column of a file read as what it is?"""

import numpy as np
import pytest

from icon._base.checks import InvalidInput
from icon.cli.columns import FEW, points_of


def csv(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_first_two_columns_are_the_places(tmp_path):
    file = csv(tmp_path / "a.csv", "tsne0,tsne1,label", "1.5,2,0", "-3,4e1,1")
    found = points_of(file, ())
    assert found.place.tolist() == [[1.5, 2], [-3, 40]]
    assert found.known["label"].tolist() == [0, 1] and found.images is None


def test_x_and_y_are_the_places_wherever_they_stand(tmp_path):
    file = csv(tmp_path / "a.csv", "cluster,y,x", "3,1,2", "4,,", "5,1,0")
    found = points_of(file, ())
    np.testing.assert_array_equal(found.place, [[2, 1], [np.nan, np.nan], [0, 1]])
    assert [*found.known] == ["cluster"]


def test_the_columns_of_the_places_can_be_named(tmp_path):
    file = csv(tmp_path / "a.csv", "x,y,u,v", "1,2,3,4", "5,6,7,8")
    found = points_of(file, ("v", "u"))
    assert found.place.tolist() == [[4, 3], [8, 7]]
    assert [*found.known] == ["x", "y"]


def test_what_is_known_is_names_or_numbers(tmp_path):
    lines = [
        f"0,0,{i},{i % 3},{i / 2},{'é' if i else ''},{'' if i else 7},,{i}_1"
        for i in range(60)
    ]
    file = csv(tmp_path / "a.csv", "x,y,id,class,half,name,few,empty,code", *lines)
    known = points_of(file, ()).known
    assert [*known] == ["id", "class", "half", "name", "few", "code"]
    kinds = {name: column.dtype.kind for name, column in known.items()}
    of_numbers = dict(id="f", **{"class": "i"}, half="f", few="f")
    assert kinds == of_numbers | dict(name="O", code="O")
    assert len(lines) > FEW and known["class"].tolist() == [i % 3 for i in range(60)]
    assert known["name"].tolist() == ["", *["é"] * 59]
    assert known["few"][0] == 7 and np.isnan(known["few"][1:]).all()


def test_codes_and_long_numbers_stay_as_they_are(tmp_path):
    long = [2**53 + i for i in range(60)]
    lines = [f"0,0,{i:04d},{number},{-i}" for i, number in enumerate(long)]
    known = points_of(csv(tmp_path / "a.csv", "x,y,code,id,below", *lines), ()).known
    assert known["code"].tolist() == [f"{i:04d}" for i in range(60)]
    assert known["id"].tolist() == [*map(str, long)]
    assert known["below"].tolist() == [-i for i in range(60)]


def test_a_line_may_be_long(tmp_path):
    names = ["x", "y", *(f"gene{k}" for k in range(20_000))]
    lines = [",".join(["1.25"] * len(names))] * 2
    known = points_of(csv(tmp_path / "a.csv", ",".join(names), *lines), ()).known
    assert len(known) == 20_000


def test_an_npz_has_an_embedding_and_what_is_known_of_it(tmp_path):
    z, images = np.arange(8.0).reshape(4, 2), np.ones((4, 3, 3), np.uint8)
    other = dict(
        pair=np.ones((4, 2)), label=np.array(list("abca")), age=np.arange(4) / 2
    )
    np.savez(tmp_path / "a.npz", embedding=z, images=images, one=np.array(3), **other)
    found = points_of(tmp_path / "a.npz", ())
    np.testing.assert_array_equal(found.place, z)
    np.testing.assert_array_equal(found.images, images)
    assert [*found.known] == ["label", "age"]
    assert points_of(tmp_path / "a.npz", ("pair",)).place.tolist() == [[1, 1]] * 4


SPACES = {  # the first line, and the places of a line of 1, 2, 3, ...
    "tsne0,tsne1,tsne2,label": [1, 2, 3],
    "pca0,pca1,pca2": [1, 2, 3],
    "pca0,pca1,pca2,pca3": [1, 2],
    "pca0,pca1,label,pca2": [1, 2],
    "a,b,c": [1, 2],
    "x0,y,x": [3, 2],
}


@pytest.mark.parametrize("names", SPACES)
def test_three_numbered_columns_are_places_in_space(names, tmp_path):
    line = ",".join(str(k + 1) for k in range(names.count(",") + 1))
    found = points_of(csv(tmp_path / "a.csv", names, line, line), ())
    assert found.place.tolist() == [SPACES[names]] * 2
    assert len(found.known) == names.count(",") + 1 - len(SPACES[names])


def test_three_columns_can_be_named_and_arrays_have_three(tmp_path):
    file = csv(tmp_path / "a.csv", "a,b,c,d", "1,2,3,4")
    assert points_of(file, ("d", "a", "b")).place.tolist() == [[4, 1, 2]]
    for name in ("a.npy", "a.npz"):
        found = points_of(saved(tmp_path / name, np.arange(6.0).reshape(2, 3)), ())
        assert found.place.tolist() == [[0, 1, 2], [3, 4, 5]] and found.known == {}


def test_an_array_of_two_columns_comes_before_one_of_three(tmp_path):
    np.savez(tmp_path / "a.npz", color=np.ones((4, 3)), at=np.zeros((4, 2)))
    assert points_of(tmp_path / "a.npz", ()).place.tolist() == [[0, 0]] * 4


def test_an_npy_is_the_places_alone(tmp_path):
    np.save(tmp_path / "a.npy", np.float32([[1, 2], [3, 4]]))
    found = points_of(tmp_path / "a.npy", ())
    assert found.place.tolist() == [[1, 2], [3, 4]] and found.known == {}


@pytest.mark.parametrize(
    "name, between, lines",
    [
        ("a.csv", ";", ("x;y;name", "1,5;2;a", "-3;4e1;b")),
        ("b.csv", "\t", ("x\ty\tname", "1.5\t2\ta", "-3\t4e1\tb")),
        ("c.tsv", "\t", ("x\ty\tname; kind", "1.5\t2\ta;b", "-3\t4e1\tb;a")),
    ],
)
def test_cells_are_separated_as_people_do(name, between, lines, tmp_path):
    points = points_of(csv(tmp_path / name, *lines), ())
    assert np.array_equal(points.place, [[1.5, 2], [-3, 40]])
    head, *known = (line.split(between)[2] for line in lines)
    assert [*points.known] == [head] and points.known[head].tolist() == known


@pytest.mark.parametrize("name", ["embedding.csv", "clusters.csv"])
def test_of_a_folder_the_file_that_a_command_wrote_is_read(name, tmp_path):
    csv(tmp_path / name, "x,y", "1,2", "3,4")
    assert points_of(tmp_path, ()).place.tolist() == [[1, 2], [3, 4]]


REFUSED = {
    "no file": (lambda at: at / "no.csv", (), "file", "no.csv"),
    "a folder of other things": (lambda at: at, (), "file", "embedding.csv"),
    "a file of another kind": (lambda at: csv(at / "a.txt", "1"), (), "file", "a.txt"),
    "an empty file": (lambda at: csv(at / "a.csv"), (), "file", "0 lines"),
    "a header alone": (lambda at: csv(at / "a.csv", "x,y"), (), "file", "1 lines"),
    "a short line": (
        lambda at: csv(at / "a.csv", "x,y", "1,2", "3"),
        (),
        "file",
        "1 cells in row 1",
    ),
    "two columns of one name": (
        lambda at: csv(at / "a.csv", "x,x", "1,2"),
        (),
        "file",
        "a name of its own",
    ),
    "places that are words": (
        lambda at: csv(at / "a.csv", "x,y,u", "a,2,3"),
        (),
        "position",
        "of y, u, got x y",
    ),
    "no such column": (
        lambda at: csv(at / "a.csv", "x,y", "1,2"),
        ("x", "z"),
        "position",
        "got x z",
    ),
    "names for an .npy": (
        lambda at: saved(at / "a.npy", np.ones((3, 2))),
        ("x", "y"),
        "position",
        "leave it out",
    ),
    "points of four columns": (
        lambda at: saved(at / "a.npy", np.ones((3, 4))),
        (),
        "file",
        "(3, 4)",
    ),
    "four names": (
        lambda at: csv(at / "a.csv", "a,b,c,d", "1,2,3,4"),
        ("a", "b", "c", "d"),
        "position",
        "got a b c d",
    ),
    "no points in an .npz": (
        lambda at: saved(at / "a.npz", np.ones(3)),
        (),
        "position",
        "{'z': (3,)}",
    ),
    "a pickle": (
        lambda at: saved(at / "a.npy", np.array([[{}, 1]], object)),
        (),
        "file",
        "a.npy: ",
    ),
    "no zip": (lambda at: csv(at / "a.npz", "hello"), (), "file", "a.npz: "),
}


def saved(path, x):
    np.save(path, x) if path.suffix == ".npy" else np.savez(path, z=x)
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused(case, tmp_path):
    made, position, argument, got = REFUSED[case]
    with pytest.raises(InvalidInput) as refusal:
        points_of(made(tmp_path), position)
    assert refusal.value.argument == argument and got in str(refusal.value)
