"""Which small network turns a row into a point?"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icon._base import checks as check


class MLP(nn.Module):
    """Dense layers with a relu between them, on rows of any shape.

    x -> W_L relu(... relu(W_1 x + b_1) ...) + b_L

    Args:
        features: the width of each layer; the last is the width of the output.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.ones((4, 8, 8)), encoders.MLP((512, 128))
        >>> params = model.init(jax.random.key(0), x)
        >>> model.apply(params, x).shape
        (4, 128)
    """

    features: Sequence[int]

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."]) -> Float[Array, "b k"]:
        x = check.real("x", x)
        rows = x.ndim and x.size
        check.require(rows, "x", f"shape {x.shape}", "rows [b, ...]")
        return Decoder(self.features, name="layers")(x.reshape(len(x), -1))


class Decoder(nn.Module):
    """Dense layers from a code to one logit a pixel, over any leading axes.

    log p(x | z) = sum_i x_i log s(l_i) + (1 - x_i) log s(-l_i), l = decoder(z),
    s the sigmoid, is what the logits are for.

    Args:
        features: the width of each layer; the last is the number of pixels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> z, model = jnp.ones((3, 4, 2)), encoders.Decoder((32, 64))
        >>> model.apply(model.init(jax.random.key(0), z), z).shape
        (3, 4, 64)

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013).
    """

    features: Sequence[int]

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... d"]:
        *hidden, last = check.sizes("features", self.features)
        z = check.real("z", z)
        check.require(z.ndim, "z", "a number", "codes [..., k]")
        for width in hidden:
            z = nn.relu(nn.Dense(width)(z))
        return nn.Dense(last)(z)


class CNN(nn.Module):
    """3 x 3 convolutions, each halving the image, then one dense layer.

    x -> W flatten(pool(relu(norm(conv(x))))), a layer for each of the features.

    Args:
        features: the channels of each convolution; sides of 8 allow for three.
        width: the width of the output.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.ones((4, 8, 8)), encoders.CNN((16, 32), width=64)
        >>> z, params = jax.jit(model.init_with_output)(jax.random.key(0), x)
        >>> z.shape
        (4, 64)
    """

    features: Sequence[int] = (16, 64)
    width: int = 128

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w"] | Float[Array, "b h w c"]
    ) -> Float[Array, "b k"]:
        x = check.floating("x", x, (3, 4))
        features = check.sizes("features", self.features)
        width, least = check.size("width", self.width), 2 ** len(features)
        sides = f"sides of {least} or more: each of {len(features)} layers halves them"
        check.require(min(x.shape[1:3]) >= least, "x", f"shape {x.shape}", sides)
        x = x[..., None] if x.ndim == 3 else x
        for channels in features:
            x = nn.LayerNorm()(nn.Dense(channels)(_windows(x)))
            x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
        return nn.Dense(width)(x.reshape(len(x), -1))


def _windows(x: Float[Array, "b h w c"]) -> Float[Array, "b h w k"]:
    """Every pixel with its eight neighbors: a convolution is a matmul of these."""
    # On a CPU, XLA's own convolutions of few channels are slower than this.
    h, w = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return jnp.concatenate(parts, -1)


class Signals(nn.Module):
    """Convolutions along a signal, each halving it, then its mean and its maximum.

    x -> W [mean_t h, max_t h], h = relu(conv(...)), a layer for each of the
    features: of five steps the first, of three the others. The mean and the maximum
    over time forget where in the signal something was.

    Args:
        features: the channels of each convolution.
        width: the width of the output.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.ones((4, 40)), encoders.Signals((16, 32), width=64)
        >>> z, params = jax.jit(model.init_with_output)(jax.random.key(0), x)
        >>> z.shape
        (4, 64)
    """

    features: Sequence[int] = (64, 64, 64)
    width: int = 128

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t"] | Float[Array, "b 1 t"]
    ) -> Float[Array, "b k"]:
        x = check.floating("x", x, (2, 3))
        features = check.sizes("features", self.features)
        width = check.size("width", self.width)
        x = x.reshape(len(x), -1, 1)
        for layer, channels in enumerate(features):
            near = _neighbors(x, 5 if layer == 0 else 3)
            x = nn.relu(nn.Dense(channels)(near))
        return nn.Dense(width)(jnp.concatenate([jnp.mean(x, 1), jnp.max(x, 1)], -1))


def _neighbors(x: Float[Array, "b t c"], count: int) -> Float[Array, "b s k"]:
    """Every other step of a signal with those next to it: `count` in all."""
    t, edge = x.shape[1], count // 2
    x = jnp.pad(x, ((0, 0), (edge, edge), (0, 0)))
    return jnp.concatenate([x[:, i : i + t : 2] for i in range(count)], -1)


class ClusterHead(nn.Module):
    """How much each row belongs to each cluster.

    m(x) = softmax(MLP(x)), whose rows sum to 1.

    Args:
        clusters: how many clusters C.
        features: the widths of the layers below.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.ones((4, 64)), encoders.ClusterHead(10)
        >>> z, params = jax.jit(model.init_with_output)(jax.random.key(0), x)
        >>> z.shape
        (4, 10)
    """

    clusters: int
    features: Sequence[int] = ()

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."]) -> Float[Array, "b C"]:
        clusters = check.size("clusters", self.clusters)
        return nn.softmax(MLP((*self.features, clusters))(x))


class Prototypes(nn.Module):
    """A table of learned points; it takes no input.

    c_1, ..., c_K ~ N(0, I / dim) at the start, of length about 1.

    Args:
        count: how many points K.
        dim: how many coordinates each has.

    Example:
        >>> import jax
        >>> from icon import encoders
        >>> model = encoders.Prototypes(10, 64)
        >>> model.apply(model.init(jax.random.key(0))).shape
        (10, 64)
    """

    count: int
    dim: int

    @nn.compact
    def __call__(self) -> Float[Array, "K dim"]:
        count, dim = check.size("count", self.count), check.size("dim", self.dim)
        return self.param("points", nn.initializers.normal(dim**-0.5), (count, dim))


class Posterior(nn.Module):
    """The mean and the standard deviation of the code of each row.

    q(z | x) = N(mean(x), diag(std(x))^2), std = softplus(.) + 1e-4

    Args:
        latent: how many coordinates a code has.
        features: the widths of the layers below.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.ones((4, 8, 8)), encoders.Posterior(2)
        >>> mean, std = model.apply(model.init(jax.random.key(0), x), x)
        >>> mean.shape, std.shape
        ((4, 2), (4, 2))

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2013).
    """

    latent: int
    features: Sequence[int] = (256,)

    @nn.compact
    def __call__(
        self, x: Float[Array, "b ..."]
    ) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        latent = check.count("latent", self.latent, 1, 2**30)
        both = MLP((*self.features, 2 * latent))(x)
        mean, raw = jnp.split(both, 2, -1)
        # The floor keeps log std finite where the loss is least at std = 0.
        return mean, nn.softplus(raw) + 1e-4


class TokenEncoder(nn.Module):
    """A vector for each token of a sentence, which depends on all of its tokens.

    h -> h + mix over tokens(norm(h)) -> h + mix over width(norm(h)), per layer.

    Args:
        words: how many words there are; the id `words` is that of a masked one.
        width: the width of the vectors.
        layers: how often tokens and widths are mixed.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.full((4, 16), 32), encoders.TokenEncoder(32)
        >>> z, params = jax.jit(model.init_with_output)(jax.random.key(0), x)
        >>> z.shape
        (4, 16, 64)

    Source: Tolstikhin et al., MLP-Mixer (2021).
    """

    words: int
    width: int = 64
    layers: int = 2

    @nn.compact
    def __call__(self, x: Int[Array, "b t"]) -> Float[Array, "b t k"]:
        words, width = check.size("words", self.words), check.size("width", self.width)
        check.count("layers", self.layers, 0, 1000)
        x = _token_ids(x)
        start = nn.initializers.normal(width**-0.5)
        h = nn.Embed(words + 1, width, embedding_init=start)(x)
        h = h + self.param("position", start, (1, x.shape[1], self.width))
        for _ in range(self.layers):
            h = h + _mix(nn.LayerNorm()(h).mT, x.shape[1]).mT
            h = h + _mix(nn.LayerNorm()(h), self.width)
        return nn.LayerNorm()(h)


class CausalEncoder(nn.Module):
    """A vector for each place of a sequence, which depends on the tokens before it.

    h_t -> h_t + MLP(norm(h_t, h_{t-s}, h_{t-2s})), with s = 1, 2, 4, ..., one a layer,
    from the token at t - 1 and the place t.

    Args:
        words: how many tokens there are; the id `words` is that of the start.
        width: the width of the vectors.
        layers: how often what came before is looked at, twice as far each time.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from icon import encoders
        >>> x, model = jnp.full((4, 16), 31), encoders.CausalEncoder(32)
        >>> z, params = jax.jit(model.init_with_output)(jax.random.key(0), x)
        >>> z.shape
        (4, 16, 32)

    Source: van den Oord et al., WaveNet (2016).
    """

    words: int
    width: int = 32
    layers: int = 6

    @nn.compact
    def __call__(self, x: Int[Array, "b t"]) -> Float[Array, "b t k"]:
        words, width = check.size("words", self.words), check.size("width", self.width)
        check.count("layers", self.layers, 0, 30)
        x = _token_ids(x)
        start = nn.initializers.normal(width**-0.5)
        before = jnp.pad(x, ((0, 0), (1, 0)), constant_values=words)[:, :-1]
        h = nn.Embed(words + 1, width, embedding_init=start)(before)
        h = h + self.param("position", start, (1, x.shape[1], width))
        for layer in range(self.layers):
            near = _earlier(nn.LayerNorm()(h), 2**layer)
            h = h + Decoder((2 * width, width))(near)
        return nn.LayerNorm()(h)


def _token_ids(x) -> Int[Array, "b t"]:
    x = check.real("x", x)
    whole = x.ndim == 2 and jnp.issubdtype(x.dtype, jnp.integer)
    check.require(whole, "x", f"dtype {x.dtype}, shape {x.shape}", "ids [b, t]")
    return x


def _earlier(h: Float[Array, "b t k"], step: int) -> Float[Array, "b t m"]:
    """Every place with those one and two steps before it, 0 before the start."""
    t = h.shape[1]
    padded = jnp.pad(h, ((0, 0), (2 * step, 0), (0, 0)))
    return jnp.concatenate([padded[:, k * step :][:, :t] for k in range(3)], -1)


def _mix(x: Float[Array, "b n k"], width: int) -> Float[Array, "b n k"]:
    return Decoder((2 * width, width))(x)
