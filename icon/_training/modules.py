"""What of a Flax module is trained, and what does it hold besides?"""

import dataclasses
import functools as ft
import sys
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Tree:
    """The structure of parameters without a module: all of them are trained."""

    def joined(self, trained, buffers):
        """The parameters, as a loss takes them."""
        return trained

    def buffers_of(self, params):
        """What they hold besides what is trained, after a loss has used them."""
        return ()


@dataclasses.dataclass(frozen=True, eq=False)
class Modules:
    """The structure of a pytree in which some leaves, or all of it, are modules.

    Structures of equal modules are equal: a step is compiled once for all of them. A
    graph has many parts, and its hash is taken at every step: it is kept.
    """

    graph: Any  # nnx.GraphDef, of the only module or of a list of them
    tree: Any  # of the pytree, a module being a leaf
    is_module: tuple[bool, ...]  # of each leaf

    def joined(self, trained, buffers):
        """The parameters, as a loss takes them: with new modules."""
        nnx = sys.modules["flax.nnx"]
        state, arrays = (trained, ()) if self._alone else trained
        modules = nnx.merge(self.graph, state, buffers, copy=True)
        modules, arrays = iter([modules] if self._alone else modules), iter(arrays)
        kinds = self.is_module
        return self.tree.unflatten([next(modules if m else arrays) for m in kinds])

    def buffers_of(self, params):
        """What they hold besides what is trained, after a loss has used them.

        What a layer has noted down of this batch alone (`sow`) is left out.
        """
        leaves = self.tree.flatten_up_to(params)
        modules = [x for x, m in zip(leaves, self.is_module, strict=True) if m]
        return _split(modules[0] if self._alone else modules)[2]

    @property
    def _alone(self) -> bool:
        """Whether the whole pytree is one module."""
        return jax.tree_util.treedef_is_leaf(self.tree)

    @ft.cached_property
    def _identity(self):
        parts = self.graph, self.tree, self.is_module
        return hash(parts), parts

    def __hash__(self) -> int:
        return self._identity[0]

    def __eq__(self, other) -> bool:
        same = self is other
        return same or (
            isinstance(other, Modules) and self._identity == other._identity
        )


def separated(params) -> tuple[Tree | Modules, Any, Any]:
    """The structure of parameters, what is trained of them, and their buffers.

    Of a module the `nnx.Param` are trained: the tree is `nnx.state(module, nnx.Param)`.
    Of a pytree with several modules it is the state of all of them, and the list of the
    other leaves. The buffers are statistics, counts and keys of random numbers.
    """
    nnx = sys.modules.get("flax.nnx")  # without it there is no module
    is_module = lambda x: nnx is not None and isinstance(x, nnx.Pytree)
    leaves, tree = jax.tree.flatten(params, is_leaf=is_module)
    where = tuple(map(is_module, leaves))
    if nnx is None or not any(where):
        return Tree(), params, ()
    if is_module(params):
        graph, trained, buffers = _split(nnx.clone(params))
        return Modules(graph, tree, where), trained, buffers
    modules = nnx.clone([x for x, m in zip(leaves, where, strict=True) if m])
    graph, state, buffers = _split(modules)
    arrays = [x for x, m in zip(leaves, where, strict=True) if not m]
    return Modules(graph, tree, where), (state, arrays), buffers


def _split(modules):
    """The graph, the parameters and the rest of modules, which lose what they sowed."""
    nnx = sys.modules["flax.nnx"]
    nnx.pop(modules, nnx.Intermediate)
    return nnx.split(modules, nnx.Param, ...)
