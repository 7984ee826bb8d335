"""A cell nobody has tried: SupCon under a Cauchy kernel of the cosine.

python examples/new_cell.py
Expect: a line that checks the cell, then its loss; or train, score and draw it:
icon table --cells examples/new_cell.py:t_supcon SupCon
"""

import jax
import jax.numpy as jnp

import icon


def cauchy_cosine(a, b, temperature):
    return -jnp.log1p((1 - b @ a) / temperature)


def heavy(z):
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    return icon.points(cauchy_cosine, z, temperature=0.1)


t_supcon = icon.Cell("cosine t-SupCon", icon.same, heavy, column="Classes")


def main():
    print(icon.check(t_supcon))
    labels = jnp.arange(64) % 10
    z = jax.random.normal(jax.random.key(0), (64, 16))
    loss, slope = jax.value_and_grad(lambda z: t_supcon((labels,), (z,)))(z)
    print(f"loss {loss:.3f}  |gradient| {jnp.linalg.norm(slope):.3f}")
    return float(loss)


if __name__ == "__main__":
    main()
