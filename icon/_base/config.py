"""What may be decided for all losses at once?"""

import jax

from icon._base import checks as check


_deterministic = jax.make_user_context(default_value=False)


def deterministic(on: bool = True):
    r"""Within it, losses have the same bits on any number of devices.

    Every device owns its anchors. What they report comes in strips of one length,
    whatever the number of devices, and is gathered; then each device works out the
    whole gradient of its own anchors and candidates. Sums over devices are taken in
    one order. It takes about twice as long, gathers what a ring would pass round, and
    is for p and q that are points without weights, in one place or inside a `shard_map`
    with `axis_name=`. Build `cosine` neighbours within it: that is when their rows are
    divided by their norms.

    $$\nabla_{b_j} = \sum_i \left(g^B_i\,p_{ij} + g^M_i\,q_{ij}\right)
      \partial s_{ij} / \partial b_j, \quad i \text{ in one order}$$

    Args:
        on: False switches it off again, inside another.

    Raises:
        InvalidInput: neither True nor False; by the verbs, for any other p and q, and
            for arrays that an explicit mesh spreads.

    Example:
        >>> import icon, jax, jax.numpy as jnp
        >>> @jax.jit
        ... def loss(z):
        ...     return icon.kl(icon.same([0, 0, 1, 1]), icon.cosine(z))
        >>> with icon.deterministic():
        ...     exactly = loss(jnp.eye(4))
        >>> bool(jnp.isclose(exactly, loss(jnp.eye(4))))
        True
    """
    return _deterministic(check.boolean("on", on))


def is_deterministic() -> bool:
    """Whether bits must not depend on the number of devices."""
    return _deterministic.value
