"""Memory that a model takes, reckoned from the headers of its weight files before anything is allocated. Torch-free."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from lancet_core.errors import ConfigError
from lancet_core.models.fingerprints import CONFIG, adapter_base, read_config, weight_files, weight_shapes

PROGRAM = "program"
BYTES_OF = {"float32": 4, "bfloat16": 2, "float64": 8}
# Python with torch, transformers and the tables of a study: measured at 0.5 to 0.6 GB.
PROCESS_BYTES = 550_000_000
# Arrays as wide as the vocabulary at each counted token of a pass: logits, their log-softmax, and three gradients.
LOGITS_AT_ONCE = 5
FEWEST_TOKENS_AT_ONCE, LOGIT_NUMBERS = 256, 1 << 24
_GIGABYTE = 1e9
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_WIDTHS = ("hidden_size", "n_embd", "d_model", "dim")


@dataclass(frozen=True)
class ModelSize:
    """How large a model is.

    Attributes:
        parameters: All of its parameters, an adapter's as well.
        vocabulary: Rows of its embeddings.
        width: Width of its residual stream.
        layers: Number of its blocks.
        maps: Shape of each matrix beside the embeddings.
    """

    parameters: int
    vocabulary: int
    width: int
    layers: int
    maps: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Need:
    """Memory that something takes.

    Attributes:
        parts: What it takes, in words, to bytes.
    """

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self.parts.values())

    def on(self, device: str) -> "Need":
        """What of it lies on a device: the program is on none but the CPU."""
        return self if device == "cpu" else Need({k: v for k, v in self.parts.items() if k != PROGRAM})

    def __add__(self, other: "Need") -> "Need":
        """Both at once."""
        return Need({**self.parts, **other.parts})


def model_size(model: str | Path) -> ModelSize | None:
    """Reads how large a model is; None where it is no folder here, or its config names no sizes.

    Raises:
        ModelError: The folder holds no model.
    """
    folder = Path(model)
    if not folder.is_dir():
        return None
    stamp = tuple((file.name, file.stat().st_mtime_ns) for file in sorted(folder.iterdir()))
    return _read_size(folder, stamp)


def loading_need(size: ModelSize, dtype: str) -> Need:
    """What the program and a loaded model take."""
    return Need({PROGRAM: PROCESS_BYTES, "model": size.parameters * BYTES_OF[dtype]})


def pass_need(size: ModelSize, dtype: str, *, tokens: int, counted: int) -> Need:
    """What one forward and backward pass keeps: what each matrix read and wrote, and the logits of the counted tokens.

    Args:
        size: The model.
        dtype: Its precision.
        tokens: Tokens of the pass.
        counted: Tokens whose log p counts.
    """
    kept = sum(shape[-1] + shape[-2] for shape in size.maps)
    return Need(
        {
            "activations": kept * tokens * BYTES_OF[dtype],
            "logits": LOGITS_AT_ONCE * counted * size.vocabulary * BYTES_OF["float32"],
        }
    )


def tokens_of_a_pass(vocabulary: int, most: int) -> int:
    """Tokens in one forward pass on a CPU: their logits are no larger than is needed to be fast, whatever the vocabulary."""
    return min(most, max(FEWEST_TOKENS_AT_ONCE, LOGIT_NUMBERS // vocabulary))


def free_for_this_process() -> int:
    """Memory that this process has or can get, in bytes."""
    return int(psutil.virtual_memory().available) + int(psutil.Process().memory_info().rss)


def require(what: str, need: Need, free: int, ways_out: str) -> None:
    """Refuses what does not fit into memory, before anything is allocated.

    Args:
        what: What is to be done.
        need: What it takes.
        free: Bytes that there are.
        ways_out: What would take less.

    Raises:
        ConfigError: It does not fit.
    """
    if need.total <= free:
        return
    largest = sorted(need.parts.items(), key=lambda part: -part[1])
    listed = ", ".join(f"{name} {bytes_of / _GIGABYTE:.1f}" for name, bytes_of in largest)
    raise ConfigError(
        f"{what} needs about {need.total / _GIGABYTE:.1f} GB of memory ({listed}), {free / _GIGABYTE:.1f} GB are there; {ways_out}, "
        "or take a machine with more memory"
    )


@lru_cache(maxsize=16)
def _read_size(folder: Path, _stamp: tuple[Any, ...]) -> ModelSize | None:
    base = adapter_base(folder)
    own = [shape for file in weight_files(folder) for shape in weight_shapes(file).values()]
    if base is not None:
        below = model_size(base)
        if below is None:
            return None
        extra = sum(math.prod(shape) for shape in own)
        return ModelSize(
            below.parameters + extra,
            below.vocabulary,
            below.width,
            below.layers,
            (*below.maps, *_matrices(own, below.vocabulary)),
        )
    config = read_config(folder, CONFIG)
    sizes = config | (config["text_config"] if isinstance(config.get("text_config"), dict) else {})
    vocabulary, width, layers = (_number(sizes, names) for names in (("vocab_size",), _WIDTHS, _LAYERS))
    if not (vocabulary and width and layers):
        return None
    maps = _matrices(own, vocabulary)
    return ModelSize(sum(math.prod(shape) for shape in own), vocabulary, width, layers, maps)


def _matrices(shapes: list[tuple[int, ...]], vocabulary: int) -> tuple[tuple[int, ...], ...]:
    return tuple(shape for shape in shapes if len(shape) > 1 and shape[0] != vocabulary)


def _number(values: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((int(values[name]) for name in names if isinstance(values.get(name), int)), 0)
