"""Is every setting of an estimator a flag, with its default and its help?"""

import dataclasses
import inspect
import re

import numpy as np
import pytest

import icon
from icon import cli, estimators, recipes
from icon.cli.methods import METHODS, flags_of, numbers_of, row_with
from icon.cli.on import On
from icon.cli.settings import flags, given
from icon.cli.shared import Selection
from icon.cli.train import train_by


NOT_OURS = {"callbacks", "verbose", "random_state"}
# what no terminal gives: functions, networks, neighbourhoods, arrays
OBJECTS = {"q", "views", "model", "loss", "p", "neighbors", "metric_params"}


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_is_a_flag_with_its_default(method):
    kind = getattr(estimators, METHODS[method].estimator)
    hidden = {*METHODS[method].fixed, *METHODS[method].without}
    usual = kind(**METHODS[method].fixed).get_params()
    wanted = usual.keys() - NOT_OURS - OBJECTS - hidden
    found = given(flags_of(method)())
    assert found.keys() == wanted
    assert found == {name: usual[name] for name in wanted}


ROWS = [name for name in icon.TABLE if name not in METHODS]


@pytest.mark.parametrize("name", ROWS)
def test_every_number_of_a_row_is_a_flag_with_its_default_and_its_help(name):
    source = recipes.SOURCES[icon.TABLE[name].learns_from]
    parameters = inspect.signature(source.task).parameters.values()
    numbers = {x.name: x.default for x in parameters if x.kind is x.KEYWORD_ONLY}
    steps = {} if source.exact else dict(steps=None)
    found = given(flags_of(name)())
    others = {k: x for k, x in found.items() if k not in {*steps, *numbers}}
    assert {k: found[k] for k in {*steps, *numbers}} == steps | numbers
    assert {*others} <= {"scale", "dof", "temperature", "m"} - {
        *icon.TABLE[name].learned
    }
    documented = re.findall(r"^ +(\w+): .", source.task.__doc__ or "", re.MULTILINE)
    assert {*numbers} <= {*documented}


def test_the_numbers_of_closed_forms_are_flags():
    named = lambda name: {*given(flags_of(name)())}
    assert named("Isomap") == {"n_components", "n_neighbors"}
    assert named("kernel PCA") == {"n_components", "kernel", "scale"}
    assert named("diffusion maps") == {"n_components", "n_neighbors", "time"}
    assert named("classical MDS") == named("slow features") == {"n_components"}


@pytest.mark.parametrize("name", icon.TABLE)
def test_no_number_of_a_row_has_the_name_of_another_flag_of_a_training(name):
    parameters = inspect.signature(train_by(name)).parameters
    assert given(parameters["how"].default) == given(numbers_of(name)())
    nested = dataclasses.fields(On), dataclasses.fields(Selection)
    others = {*parameters} | {x.name for fields in nested for x in fields}
    assert not others & {x.name for x in dataclasses.fields(numbers_of(name))}


def test_a_cell_of_ones_own_has_no_numbers():
    assert given(numbers_of("mine.py:cell")()) == given(numbers_of(None)()) == {}


OF_Q_AND_LOSS = {
    "heavy-tailed t-SNE": dict(dof=0.5, scale=1.0),
    "symmetric SNE": dict(scale=0.5**0.5),
    "SimCLR": dict(temperature=0.1),
    "CLIP": {},  # whose temperature is learned
    "triplet": dict(m=0.2),
    "Isomap": {},
}


@pytest.mark.parametrize("name", OF_Q_AND_LOSS)
def test_the_numbers_of_q_and_of_the_loss_are_flags(name):
    found = given(flags_of(name)())
    kept = {k: found[k] for k in ("scale", "dof", "temperature", "m") if k in found}
    assert kept == OF_Q_AND_LOSS[name]


def test_a_row_has_the_numbers_it_is_given():
    z = np.random.default_rng(0).normal(size=(6, 2))
    at = dict(dof=3.0, scale=2.0, perplexity=7.0)
    row, usual = row_with("heavy-tailed t-SNE", **at), icon.TABLE["heavy-tailed t-SNE"]
    exact = icon.dense(icon.student_t(z, dof=3.0, scale=2.0))
    np.testing.assert_allclose(icon.dense(row.q(z)), exact, rtol=1e-6)
    assert row.learns_from.task.keywords == dict(perplexity=7.0)
    assert (row.name, row.p, row.loss) == (usual.name, usual.p, usual.loss)
    wide = row_with("triplet SupCon", m=2.0, scale=1.0)
    p, q = icon.same([0, 0, 1, 1]), icon.gaussian(z[:4])
    assert wide.loss(p, q) == icon.hinge(p, q, m=2.0)


def test_clustering_has_every_setting_too():
    kind = estimators.NeighborClustering
    wanted = set(inspect.signature(kind).parameters) - {"random_state"}
    assert {x.name for x in dataclasses.fields(flags(kind))} == wanted


KINDS = {
    "perplexity": tuple[float, ...],  # one, or several
    "init": str,  # no array comes from a terminal
    "metric": str,
    "learning_rate": float | str,
    "max_iter": int | None,
    "dof": float,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_flag_takes_what_a_terminal_can_give(name):
    kinds = {x.name: x.type for x in dataclasses.fields(flags(estimators.TSNE))}
    assert kinds[name] == KINDS[name]


def test_one_of_several_is_that_one():
    made = flags(estimators.TSNE)
    assert given(made(perplexity=(3.0,)))["perplexity"] == 3.0
    assert given(made(perplexity=(3.0, 5.0)))["perplexity"] == (3.0, 5.0)


def shown(capsys, *args):
    with pytest.raises(SystemExit) as end:
        cli.main([*args, "--help"])
    assert end.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_help_of_a_flag_is_that_of_the_estimator(capsys):
    words = shown(capsys, "embed", "--method", "UMAP")
    assert "below this distance neighbours are near for certain" in words
    assert "--min-dist FLOAT" in words and "--perplexity" not in words
    words = shown(capsys, "cluster")
    assert "--swaps INT" in words and "--size-decay" not in words


def test_flags_are_those_of_the_method_alone(capsys):
    words = shown(capsys, "embed", "--method", "PCA")
    assert "--n-components INT" in words
    for name in ("--n-neighbors", "--metric", "--constraint", "--map"):
        assert name not in words
