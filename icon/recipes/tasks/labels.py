"""What is p built from where rows have labels?"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from icon._neighborhoods import uniform
from icon.recipes.material import Material
from icon.recipes.networks import applied, started
from icon.recipes.task import WIDTH, Task, prototypes
from icon.recipes.tasks.points import NEAR, nearest
from icon.recipes.tasks.views import HEAD, _both


def _labelled(m: Material) -> dict[str, Any]:
    """The rows that have a label."""
    return dict(x=m.x[m.known], label=m.labels[m.known])


def labels(m: Material) -> Task:
    """Two views of each row, with its label."""

    def arguments(model, key, x, label):
        return (jnp.tile(label, 2),), (model(_both(m, key, x)),)

    return Task(
        _labelled(m), arguments, head=HEAD, summary="two views and a label a row"
    )


def labels_and_classes(m: Material) -> Task:
    """Labels as anchors, classes as candidates: a learned prototype of each."""
    classes = jnp.arange(m.classes, dtype=jnp.int32)

    def arguments(model, key, x, label):
        z = model(m.two_views(key, x)[0])
        return (label, classes), (z, model.finish(model.extra))

    extra = prototypes(m.classes)
    summary = "one view and a label a row"
    return Task(_labelled(m), arguments, extra=extra, width=WIDTH, summary=summary)


def labels_and_mixtures(m: Material) -> Task:
    """The same with three prototypes of each class."""
    return labels_and_classes(m)._replace(extra=prototypes(m.classes, 3))


def labels_of_all(m: Material) -> Task:
    """Labels as anchors, classes as candidates: all rows of that label."""
    classes = jnp.arange(m.classes, dtype=jnp.int32)

    def arguments(model, key, x, label):
        return (label, classes), (model(x), label, classes)

    return Task(
        _labelled(m), arguments, summary="all rows as they are and their labels"
    )


def labels_and_neighbors(m: Material, *, n_neighbors: int = NEAR) -> Task:
    """All rows, with a label where there is one, and who is near whom: p has both.

    Args:
        n_neighbors: how many nearest rows.
    """
    near = uniform(nearest(m, n_neighbors)[0])

    def arguments(model, key, x, row, label):
        return (near.restrict(row), label), (model(x),)

    row = np.arange(len(m.train), dtype=np.int32)
    arrays = dict(x=m.x[m.train], row=row, label=m.labels[m.train])
    summary = f"the {n_neighbors} nearest rows inside of a batch, and labels of some"
    return Task(arrays, arguments, summary=summary)


def tags(m: Material) -> Task:
    """Two views of each row, with its tags: several, one or none."""
    table = np.asarray(m.of("tags", "0 or 1 for each tag [n, L]"), np.float32)

    def arguments(model, key, x, tags):
        return (jnp.tile(tags, (2, 1)),), (model(_both(m, key, x)),)

    arrays = dict(x=m.x[m.train], tags=table[m.train])
    return Task(arrays, arguments, head=HEAD, summary="two views and the tags of a row")


def hierarchy(m: Material) -> Task:
    """Two views of each row, with its label of every level."""
    table = m.of("hierarchy", "a label of each level [n, levels]")

    def arguments(model, key, x, levels):
        return (jnp.tile(levels, (2, 1)),), (model(_both(m, key, x)),)

    arrays = dict(x=m.x[m.train], levels=np.asarray(table)[m.train])
    return Task(arrays, arguments, head=HEAD, summary="two views and labels of levels")


# ------------------------------------------------------- a teacher


def a_teacher(m: Material, teacher) -> Task:
    """The logits of a classifier that is trained first, and the labels.

    The student has a quarter of its width.
    """
    from icon import encoders

    table = teacher.embedding @ np.asarray(teacher.params["extra"]).T
    classes = jnp.arange(m.classes, dtype=jnp.int32)
    student: Any = encoders.MLP((32, m.classes))

    def arguments(model, key, x, label, logits):
        own = applied(student, model.extra, x)
        return ((logits,), (label, classes)), ((own,), (own,))

    def scored(params):
        return np.asarray(applied(student, params["extra"], jnp.asarray(m.x)))

    return Task(
        _labelled(m) | dict(logits=table[m.known]),
        arguments,
        views={},
        extra=lambda key, width: started(student, key, jnp.asarray(m.x[:1])),
        scored=scored,
        summary="the logits of the row cross-entropy and labels; an MLP of 32 units",
    )


def logits(m: Material) -> Task:
    """Logits that are given for each row, by the logits of a model."""
    table = np.asarray(m.of("logits", "numbers [n, C]"), np.float32)

    def arguments(model, key, x, logits):
        return (logits,), (model(m.two_views(key, x)[0]) @ model.extra.T,)

    arrays = dict(x=m.x[m.train], logits=table[m.train])
    extra = prototypes(table.shape[1])
    return Task(arrays, arguments, extra=extra, summary="one view and the given logits")
