"""What is left when the disk is full, the run is stopped, or a name is hostile?"""

import csv
import fcntl
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow

import icon
from icon import cli, data, encoders, plot, recipes
from icon._base import files
from icon._base.files import replace, replace_all
from icon.cli.shared import as_json
from icon.recipes import embedding, ensemble, heads, layout


EVIL = '=1+1</script><b>$x_$ "a"'
RUN = [sys.executable, "-c", "from icon.cli import main; main()"]


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows.csv"
    x = np.random.default_rng(0).normal(size=(40, 3))
    lines = [
        ",".join(map(str, row)) + f',"{mark}x"'
        for row, mark in zip(x, MARKS, strict=True)
    ]
    file.write_text("a,b,c,label\n" + "\n".join(lines))
    return file


MARKS = ["=", "+", "-", "@", "\t"] * 8


# ------------------------------------------------------- files


def test_of_several_files_none_is_replaced_when_one_cannot_be_written(tmp_path):
    (tmp_path / "a").write_text("old")
    resource_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource_limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            replace_all({tmp_path / "a": b"new", tmp_path / "b": bytes(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
    assert (tmp_path / "a").read_text() == "old" and len(os.listdir(tmp_path)) == 1


def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    for content in (b"first", b"second"):
        replace(tmp_path / "link", content)
        assert (tmp_path / "there" / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()


def test_the_longest_name_can_be_written(tmp_path):
    replace(tmp_path / ("x" * 255), b"a")
    assert os.listdir(tmp_path) == ["x" * 255]


def test_two_writers_leave_one_whole_file(tmp_path):
    contents = [bytes([i]) * 100_000 for i in range(2)]
    write = lambda content: [replace(tmp_path / "a", content) for _ in range(20)]
    threads = [threading.Thread(target=write, args=(x,)) for x in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() in contents


def test_of_two_writers_all_files_are_of_one(tmp_path):
    names, together = [tmp_path / name for name in "abcd"], threading.Barrier(2)

    def write(content):
        together.wait()
        replace_all(dict.fromkeys(names, content))

    for _ in range(30):
        writers = [threading.Thread(target=write, args=(x,)) for x in (b"0", b"1")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert len({name.read_bytes() for name in names}) == 1


def beside(code, *args, before=()):
    """A process of its own that has `replace_all`, and not all of icon."""
    start = "import os, runpy, sys, time\n"
    start += "replace_all = runpy.run_path(sys.argv[1])['replace_all']\n"
    run = [*before, sys.executable, "-c", start + code, files.__file__, *args]
    return subprocess.Popen(run, stdout=subprocess.PIPE, text=True)


STUCK = """
os.fsync = lambda _: print("writing", flush=True) or time.sleep(100)
replace_all({sys.argv[2]: b"new"})
"""


def test_what_a_killed_writer_leaves_is_cleared_by_the_next_and_not_before(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / ".icon-theme").write_bytes(b"of somebody else")
    child = beside(STUCK, tmp_path / "a")
    assert child.stdout and child.stdout.readline() == "writing\n"
    left = {*os.listdir(tmp_path)}
    assert len(left) == 3
    next_one = threading.Thread(target=replace, args=(tmp_path / "b", b"b"))
    next_one.start()
    next_one.join(0.2)
    assert {*os.listdir(tmp_path)} == left  # the first still writes
    child.kill()
    child.communicate()
    next_one.join(60)
    assert {*os.listdir(tmp_path)} == {"a", "b", ".icon-theme"}
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_folder_that_cannot_be_locked_is_written_to(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    replace(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]


FULL = """
old, new = bytes(10_000), bytes(30_000)
replace_all({"a": old, "b": old})
try:
    replace_all({"a": new, "b": new})
except OSError as error:
    print(error.strerror, sorted(os.listdir(".")), open("a", "rb").read() == old)
"""


def test_a_disk_that_is_full(tmp_path):
    mount = f"mount -t tmpfs -o size=64k none {tmp_path} && cd {tmp_path} && exec"
    apart = ["unshare", "-rm", "sh", "-c", f'{mount} "$@"', "sh"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    said = beside(FULL, before=apart).communicate()[0]
    assert said == "No space left on device ['a', 'b'] True\n"


# ------------------------------------------------------- the command


def stopped(capsys, *args):
    """The exit status of a command, and the last line on stderr."""
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, args)])
    return end.value.code, capsys.readouterr().err.splitlines()[-1]


FEW = ("--max-iter", "50", "--perplexity", "5", "--n-components", "3")


def test_a_full_disk_is_one_line_and_the_old_files_stay(
    rows, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    cli.main(["embed", str(rows), *FEW, "--out", str(out)])
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    again = *FEW, "--out", out, "--seed", 1, "--force"
    status, line = stopped(capsys, "embed", rows, *again)
    assert status == 2 and "out: expected" in line and "No space left" in line
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_ctrl_c_keeps_an_embedding_as_it_is(rows, tmp_path, capsys, monkeypatch):
    def interrupt(bar, step, loss, _):
        raise KeyboardInterrupt

    monkeypatch.setattr(icon.estimators.progress, "_update", interrupt)
    status, line = stopped(capsys, "embed", rows, *FEW, "--out", tmp_path / "out")
    assert (status, line) == (130, "icon: stopped; the embedding was written as it was")
    assert len(os.listdir(tmp_path / "out")) == 4


def result(cell, *_):
    place = dict(column="Gaussian", row="Student-t", status="known")
    return dict(name=cell.name, z=np.eye(2), scores={}, note="", protocol="") | place


@pytest.fixture
def untrained(monkeypatch):
    """A table whose rows cost nothing, and whose second row is stopped by Ctrl-C."""
    done = []

    def attempt(bench, cell, seeds):
        done.append(cell.name)
        if done == ["SNE", "t-SNE"]:
            raise KeyboardInterrupt
        return result(cell)

    monkeypatch.setattr(recipes.Bench, "attempt", attempt)


def test_ctrl_c_keeps_the_finished_rows(untrained, tmp_path, capsys):
    args = ("table", "--cells", "SNE", "t-SNE", "PCA", "--out", tmp_path)
    assert stopped(capsys, *args) == (130, "icon: stopped; 1 of 3 rows were written")
    kept = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["SNE"]
    assert kept["run"]["unfinished"] == ["t-SNE", "PCA"]
    assert sorted(os.listdir(tmp_path)) == sorted(cli.FILES)


def test_ctrl_c_before_the_first_row_writes_nothing(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes.Bench, "attempt", interrupt)
    status, line = stopped(
        capsys, "table", "--cells", "SNE", "PCA", "--out", tmp_path / "out"
    )
    assert (status, line) == (130, "icon: stopped; nothing was written")
    assert not os.listdir(tmp_path / "out")


OLD = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
PAIR = np.array([0, 0, 1, 1])
PARTS = {
    "a new point of t-SNE": lambda p, new: layout.place(layout.Tail(), OLD, new),
    "a new point": lambda p, new: embedding.locate(icon.student_t, OLD, new),
    "layouts that are clustered": lambda p, new: ensemble.layouts(p, OLD),
    "heads": lambda p, new: heads.trained(
        heads.Objective(heads.HEADS["free"].logits), [jnp.eye(4)[:, :2]], p, OLD
    ),
    "a classifier": lambda p, new: heads.taught(OLD, PAIR, np.ones(4), 2, 0),
    "a picture": lambda p, new: recipes.plane(np.eye(4, dtype=np.float32)),
}


@pytest.mark.parametrize("part", PARTS)
def test_ctrl_c_in_a_part_ends_the_whole(part, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    loop = importlib.import_module("icon._training.minimize")
    monkeypatch.setattr(loop, "_chunk", stopped)
    new = icon.entropic([[0, 1]], [[1.0, 1.0]], perplexity=2, candidates=4)
    with pytest.raises(KeyboardInterrupt):
        PARTS[part](icon.uniform([[1], [0], [3], [2]]), new)


def test_ctrl_c_of_a_terminal_is_one_line(rows, tmp_path):
    args = ["embed", rows, "--max-iter", "1000000000", "--out", tmp_path / "out"]
    child = subprocess.Popen([*RUN, *args], stderr=subprocess.PIPE, text=True)
    assert child.stderr
    while not any((tmp_path / "out").glob("*")) and "%" not in child.stderr.read(1):
        pass
    child.send_signal(signal.SIGINT)
    error = child.communicate(timeout=60)[1]
    assert child.returncode == 130 and "Traceback" not in error
    assert error.splitlines()[-1].startswith("icon: stopped; ")


COLLECTING = """
import gc, signal, time
from icon import cli
import icon.cli.run
def interrupt(*_):
    gc.callbacks.remove(interrupt)
    signal.raise_signal(signal.SIGINT)
def wait():
    gc.callbacks.append(interrupt)
    gc.collect()
    time.sleep(100)
cli.run._parsed = lambda args: wait
cli.main()
"""


def test_ctrl_c_while_garbage_is_collected():
    run = [sys.executable, "-c", COLLECTING]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "icon: stopped; nothing was written\n"


@pytest.mark.parametrize("closed", ["1>/dev/full", slow("1>&-"), "2>&-", slow("0<&-")])
def test_streams_that_are_full_or_closed(closed):
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "MPLCONFIGDIR")}
    command = f"'{RUN[0]}' -c '{RUN[2]}' cells {closed}"
    options = dict(shell=True, capture_output=True, text=True, timeout=60)
    done = subprocess.run(command, **options, env=env | dict(PYTHONIOENCODING="ascii"))
    full = "full" in closed
    assert done.returncode == (1 if full else 0)
    assert done.stderr == ("icon: No space left on device\n" if full else "")


HOMES = {"none": None, "no folder": "/dev/null"}
SMALL = (
    ["cells"],
    ["embed", "--max-iter", "50", "--perplexity", "5"],
    ["table", "--quick", "--cells", "SNE"],
)


@pytest.mark.slow
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("args", SMALL, ids=lambda args: args[0])
def test_without_a_home(args, home, tmp_path):
    homes = "HOME", "MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"
    env = {k: v for k, v in os.environ.items() if k not in homes}
    env |= {"HOME": HOMES[home]} if HOMES[home] else {}
    args = args if args == ["cells"] else [*args, "--out", str(tmp_path)]
    done = subprocess.run([*RUN, *args], capture_output=True, text=True, env=env)
    assert done.returncode == 0
    assert not [x for x in done.stderr.splitlines() if "%" not in x and x.strip()]


@pytest.mark.slow
def test_two_whole_runs_into_one_folder(rows, tmp_path, capsys):
    args = ["embed", rows, *FEW, "--init", "random", "--seed"]
    both = [[*args, seed, "--force", "--out", tmp_path / "both"] for seed in "01"]
    runs = [subprocess.Popen([*RUN, *run]) for run in both]
    assert [run.wait() for run in runs] == [0, 0]
    assert len(os.listdir(tmp_path / "both")) == 4
    run = json.loads((tmp_path / "both" / "report.json").read_text())
    seed = run["settings"]["seed"]
    cli.main([*map(str, args), str(seed), "--out", str(tmp_path / "alone")])
    for name in ("embedding.npy", "embedding.csv"):
        alone = (tmp_path / "alone" / name).read_bytes()
        assert (tmp_path / "both" / name).read_bytes() == alone


# ------------------------------------------------------- hostile names


def test_labels_that_are_formulas_are_text_to_a_spreadsheet(rows, tmp_path, capsys):
    file = rows.rename(tmp_path / f"{EVIL.replace('/', '')}\udcff.csv")
    cli.main(["embed", str(file), *FEW, "--out", str(tmp_path / "out")])
    with open(tmp_path / "out" / "embedding.csv", newline="") as opened:
        lines = list(csv.reader(opened))[1:]
    names = [f"{mark}x".strip() for mark in MARKS]
    shown = [name if name == "x" else f"'{name}" for name in names]
    assert [line[3] for line in lines] == shown
    with np.load(tmp_path / "out" / "embedding.npz", allow_pickle=False) as kept:
        assert kept["labels"].tolist() == names
    run = json.loads((tmp_path / "out" / "report.json").read_text())
    assert run["data"]["name"] == file.stem


NAMES = [EVIL, "$$", "$\\frac{", "\ud800", "\0", "_hidden", "&lt;", "{}", "a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_drawn_as_text(name, tmp_path):
    from matplotlib.figure import Figure

    fields = ("name", "column", "row", "p", "q", "loss", "reference", "protocol")
    row = dict.fromkeys(fields, name) | dict(status="known", z=np.eye(2), note=name)
    plot.page([row | dict(scores={name: 0.5})], tmp_path / "page.html")
    assert "<b>$" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    plot.table([row | dict(scores={name: 0.5})], tmp_path / "table.png")
    figure = Figure()
    ax = figure.subplots()
    plot.embedding(np.eye(2), [0, 1], names=[name, "b"], title=name, ax=ax)
    figure.savefig(tmp_path / "points.png")
    shown = name.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    legend = ax.get_legend()
    assert legend and [x.get_text() for x in legend.get_texts()] == [shown, "b"]
    assert ax.get_title() == shown


def test_json_has_no_infinity():
    value = dict(a=np.float32([np.inf, np.nan, 1]), b=(float("-inf"), 2.0))
    assert json.loads(as_json(value)) == dict(a=[None, None, 1.0], b=[None, 2.0])


def test_points_that_lie_near_one_another_stay_apart_in_a_file():
    z = np.float32(5) + np.linspace(0, 1e-3, 50, dtype=np.float32)
    wide = np.float32(1e5) * z
    kept = json.loads(as_json(dict(z=z, wide=wide)))
    assert len(set(kept["z"])) == 50 and np.allclose(kept["z"], z, atol=1e-8)
    assert kept["wide"] == wide.astype(float).round(4).tolist()


# ------------------------------------------------------- keys, seeds, counts, paths


X = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
IMAGES, TOKENS, KEY = X.reshape(12, 2, 3), np.zeros((2, 3), np.int32), jax.random.key(0)
FIGURE = dict(name="a", column="Gaussian", row="Student-t", status="known", z=np.eye(2))
COUNTS = (True, -1, 10**30, 1.5, "3", None, float("nan"), [3])
SEEDS = (True, -1, 1.5, "3", None, float("nan"), [3])
KEYS = (3, None, "a", np.zeros(2), jax.random.split(KEY, 2))
PATHS = (3, None, b"x", True, "a\0b", "x" * 5000, "", ["a"])
NUMBERS = (True, "a", float("nan"), float("inf"), -1.0, 0.0, 10**400, 1e300, 1e-300)
THINGS = (None, 3, "a", np.eye(2))
Place = icon.estimators.TSNE
few = icon.data.Dataset("few", X)
GONE = jnp.array(X) + 0
GONE.delete()  # as a donated array is
RNG = np.random.default_rng(0)


def steps_of(steps):
    plan, p = layout.Plan(steps=steps), icon.graph(np.ones((12, 12)))
    layout.lay_out(layout.Tail(), X[:, :2], p, plan)


CALLS = {  # argument: calls, values
    "n": (
        [
            lambda v: data.split(v, 0),
            lambda v: layout.scattered(v, 2, RNG),
            layout.blocks,
        ],
        COUNTS,
    ),
    "components": (
        [
            lambda v: layout.scattered(3, v, RNG),
            lambda v: layout.principal(X, v, RNG),
            lambda v: layout.spectral(icon.graph(np.ones((4, 4))), v, RNG),
        ],
        COUNTS,
    ),
    "seed": (
        [
            lambda v: data.split(9, v),
            lambda v: data.tokens(X, 3, v),
            lambda v: recipes.material(few, v),
            lambda v: recipes.example(icon.TABLE["PCA"], seed=v),
        ],
        SEEDS,
    ),
    "fraction": ([lambda v: data.split(9, 0, v)], ("a", None, [0.5], 0.0, 1.0)),
    "key": (
        [
            lambda v: data.augment(v, jnp.asarray(IMAGES[0])),
            lambda v: data.two_views(v, jnp.asarray(X)),
            lambda v: list(data.batches(X, 3, 1)(v, 0)),
        ],
        KEYS,
    ),
    "path": (
        [data.load, *(lambda v, f=f: f([FIGURE], v) for f in (plot.page, plot.table))],
        (*PATHS, "/dev/null", os.path.dirname(icon.__file__), "/no folder/x.csv"),
    ),
    "folder": ([data.mnist], (*PATHS[:1], *PATHS[2:])),
    "features": (
        [
            lambda v: encoders.MLP(v).init(KEY, X),
            lambda v: encoders.Signals(v).init(KEY, X),
        ],
        ((), (0,), (-1,), (True,), (1.5,), 3, None, "ab", (10**30,)),
    ),
    "width": (
        [
            lambda v: encoders.CNN((1,), v).init(KEY, IMAGES),
            lambda v: encoders.Signals((1,), v).init(KEY, X),
            lambda v: encoders.TokenEncoder(8, v).init(KEY, TOKENS),
            lambda v: encoders.CausalEncoder(8, v).init(KEY, TOKENS),
        ],
        COUNTS,
    ),
    "clusters": ([lambda v: encoders.ClusterHead(v).init(KEY, X)], COUNTS),
    "count": ([lambda v: encoders.Prototypes(v, 3).init(KEY)], COUNTS),
    "dim": ([lambda v: encoders.Prototypes(3, v).init(KEY)], COUNTS),
    "latent": ([lambda v: encoders.Posterior(v).init(KEY, X)], COUNTS),
    "words": (
        [
            lambda v: encoders.TokenEncoder(v).init(KEY, TOKENS),
            lambda v: encoders.CausalEncoder(v).init(KEY, TOKENS),
        ],
        COUNTS,
    ),
    "layers": (
        [
            lambda v: encoders.TokenEncoder(8, 8, v).init(KEY, TOKENS),
            lambda v: encoders.CausalEncoder(8, 8, v).init(KEY, TOKENS),
        ],
        COUNTS,
    ),
    "data": ([recipes.material], (*THINGS, few._replace(features=X[:1]))),
    "budget": ([lambda v: recipes.material(few, 0, v)], THINGS),
    "budget.steps": ([lambda v: recipes.material(few, 0, budget(steps=v))], COUNTS),
    "budget.points": ([lambda v: recipes.material(few, 0, budget(points=v))], COUNTS),
    "cell": (
        [
            recipes.example,
            lambda v: recipes.train(v, None),
            recipes.run,
        ],
        THINGS,
    ),
    "seeds": ([lambda v: recipes.run("PCA", few, seeds=v)], COUNTS),
    "views": ([lambda v: recipes.run("PCA", few, views=v)], THINGS[1:]),
    "metric": ([lambda v: recipes.run("PCA", few, metric=v)], THINGS[1:]),
    "model": (
        [lambda v: recipes.run("SimCLR", few, model=v, steps=1)],
        (*THINGS[1:], (len,), {}),
    ),
    "m": ([recipes.Ground, lambda v: recipes.train(icon.TABLE["PCA"], v)], THINGS),
    "z": ([recipes.plane], (*THINGS[:1], "a", 3, [["a"]], KEY, GONE)),
    "steps": ([lambda v: recipes.plane(X, v), steps_of], COUNTS),
    "results": ([lambda v: plot.page(v, "x"), lambda v: plot.table(v, "x")], (None, 3)),
    "size": ([lambda v: plot.embedding(X[:, :2], size=v)], NUMBERS),
    "names": ([lambda v: plot.embedding(X[:, :2], names=v)], (3, "a", True, [1, 2])),
    "ax": ([lambda v: plot.embedding(X[:, :2], ax=v)], (3, "a", True)),
    "results[0]['scores']": (
        [lambda v: plot.page([FIGURE | dict(scores=v)], "x")],
        (3, "a", [1], dict(a="b"), dict(a=[1])),
    ),
    "results[0]['seconds']": (
        [lambda v: plot.page([FIGURE | dict(seconds=v)], "x")],
        ("a", [1]),
    ),
}
SETTINGS = {
    "n_components": COUNTS,
    **dict.fromkeys(
        ("max_iter", "early_exaggeration_iter"),
        tuple(x for x in COUNTS if x is not None),
    ),
    **dict.fromkeys(("early_exaggeration", "exaggeration", "dof"), NUMBERS),
    "learning_rate": NUMBERS,
    "random_state": (*SEEDS[:4], *SEEDS[5:], 2**32),
}
CALLS |= {
    name: ([lambda v, name=name: Place(**{name: v}).fit(X)], values)
    for name, values in SETTINGS.items()
}
CALLS["x"] = (
    [data.halves],
    (3, None, "a", np.ones(3), np.ones((3, 1)), np.ones((0, 4))),
)
CALLS["X"] = ([lambda v: Place().fit(v)], (KEY, GONE, [[10**400, 1]] * 9))
CALLS["z"][0].append(lambda v: encoders.Decoder((3,)).init(KEY, v))
CALLS["images"] = ([data.patches], (None, "a", [[None]], np.ones(3)))
CALLS["image"] = (
    [lambda v: data.augment(KEY, v)],
    (None, np.ones((0, 2)), np.full((2, 2), 1e300)),
)
CALLS["losses"] = ([plot.history], (None, "a", jax.random.split(KEY, 3)))
for number in ("loss_value", "scores"):
    CALLS[f"results[0]['{number}']"] = (
        [lambda v, number=number: plot.page([FIGURE | {number: v}], "x")],
        (KEY, "a", [1]),
    )


def budget(**changed):
    return recipes.QUICK._replace(**changed)


@pytest.mark.parametrize("argument", CALLS)
def test_what_cannot_be_used_is_refused_by_its_name(argument):
    calls, values = CALLS[argument]
    for call in calls:
        for value in values:
            with pytest.raises(icon.InvalidInput) as refused:
                call(value)
            assert refused.value.argument == argument, value
