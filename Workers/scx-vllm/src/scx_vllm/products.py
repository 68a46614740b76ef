"""The engine's own linear modules as products of whole rows, whatever part of them a process holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from vllm.distributed import get_tp_group
from vllm.model_executor.layers.linear import (
    ColumnParallelLinear,
    MergedColumnParallelLinear,
    QKVParallelLinear,
    ReplicatedLinear,
    RowParallelLinear,
)
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

from scx_torch.link.requests import Site
from scx_torch.model.config import Config
from scx_torch.model.tensors import site_places
from scx_vllm.columns import ColumnPart, in_order
from scx_vllm.errors import Unsupported

# `[rows, inputs]` in the engine's type to `[rows, outputs]`: this process's part of the outputs, or the whole.
Product: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

_LINEAR: Final = (ColumnParallelLinear, RowParallelLinear, ReplicatedLinear)


@dataclass
class ModuleProduct:
    """A module of the engine; every process of its group of tensor parallelism calls it together."""

    module: Any
    outputs: int
    inputs: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiplies rows `[rows, inputs]` and adds the bias; each process gets the whole `[rows, outputs]`."""
        module = self.module
        if isinstance(module, VocabParallelEmbedding):
            # The head's module has no forward pass of its own: the engine's processor of logits does this.
            result = module.quant_method.apply(module, x, bias=getattr(module, "bias", None))
            parts = [ColumnPart(result.shape[-1])]
            return self._gathered(result, parts, module.tp_size)[:, : self.outputs]
        if isinstance(module, RowParallelLinear) and module.input_is_parallel:
            width = self.inputs // module.tp_size
            x = x[:, module.tp_rank * width : (module.tp_rank + 1) * width].contiguous()
        result = _with_bias(module(x))
        if isinstance(module, ColumnParallelLinear) and not module.gather_output:
            return self._gathered(result, _parts(module), module.tp_size)
        return result

    def _gathered(self, own: torch.Tensor, parts: Sequence[ColumnPart], processes: int) -> torch.Tensor:
        if processes == 1:
            return own
        return in_order(get_tp_group().all_gather(own.contiguous(), -1), parts, processes)


def _with_bias(result: Any) -> torch.Tensor:
    """A module returns its bias beside the result where it does not add it."""
    if not isinstance(result, tuple):
        found: torch.Tensor = result
        return found
    found, bias = result
    return found if bias is None else found + bias


def _parts(module: Any) -> list[ColumnPart]:
    """Matrices of a fused module, by what a process holds of each."""
    if isinstance(module, QKVParallelLinear):
        copies = module.num_kv_head_replicas
        return [
            ColumnPart(module.num_heads * module.head_size),
            ColumnPart(module.num_kv_heads * module.head_size, copies),
            ColumnPart(module.num_kv_heads * module.v_head_size, copies),
        ]
    if isinstance(module, MergedColumnParallelLinear):
        return [ColumnPart(size // module.tp_size) for size in module.output_sizes]
    return [ColumnPart(module.output_size_per_partition)]


def find(model: torch.nn.Module, config: Config, site: Site, block: int) -> ModuleProduct | None:
    """The module of a site; None where this process has not the stage of the pipeline that holds it.

    Raises Unsupported.
    """
    outputs, inputs = config.shape(site, block)
    module = _head(model, config) if site == Site.head else _of_block(model, config, site, block)
    if module is None:
        return None
    name = f"site '{site.name}' of layer {block}"
    if isinstance(module, VocabParallelEmbedding):
        held, wanted = (module.org_vocab_size, module.embedding_dim), (outputs, inputs)
        if held != wanted:
            raise Unsupported(
                f"{name}: vLLM's has {held[0]} x {held[1]} weights, the checkpoint's {outputs} x {inputs}"
            )
        return ModuleProduct(module, outputs, inputs)
    if not isinstance(module, _LINEAR):
        raise Unsupported(f"{name}: vLLM's is a {type(module).__name__}, which is no linear module that is known here")
    if module.input_size != inputs or _outputs(module) != outputs:
        raise Unsupported(
            f"{name}: vLLM's has {_outputs(module)} x {module.input_size} weights, the checkpoint's {outputs} x {inputs}"
        )
    if isinstance(module, RowParallelLinear) and not module.reduce_results and module.tp_size > 1:
        raise Unsupported(f"{name}: vLLM does not add the results of its processes there")
    return ModuleProduct(module, outputs, inputs)


def _outputs(module: Any) -> int:
    """Outputs of the whole module, without the copies of keys and values that processes share."""
    if isinstance(module, ColumnParallelLinear) and not module.gather_output:
        return sum(part.width * module.tp_size // part.copies for part in _parts(module))
    size: int = module.output_size
    return size


def _head(model: torch.nn.Module, config: Config) -> Any | None:
    names = [config.layout.head, *([config.layout.embedding] if config.tied else [])]
    for name in names:
        found = _by_suffix(model, name.removesuffix(".weight"))
        if isinstance(found, VocabParallelEmbedding):
            return found
    return None


def _of_block(model: torch.nn.Module, config: Config, site: Site, block: int) -> Any | None:
    place = site_places(config, site, block, 0)[0]
    path = place.name.removeprefix(config.layout.prefix).removesuffix(".weight")
    folder, _, own = path.rpartition(".")
    packed: dict[str, list[str]] = getattr(model, "packed_modules_mapping", None) or {}
    names = [own, *(name for name, members in packed.items() if own in members)]
    for name in names:
        found = _by_suffix(model, f"{folder}.{name}")
        if found is not None:
            return found
    if _by_suffix(model, folder) is not None:
        known = "' or '".join(names)
        raise Unsupported(f"site '{site.name}' of layer {block}: vLLM's '{folder}' has no '{known}'")
    return None


def _by_suffix(model: torch.nn.Module, path: str) -> Any | None:
    """The module with this name; names may begin with those of modules that hold the whole model."""
    found = [module for name, module in model.named_modules() if name == path or name.endswith("." + path)]
    if len(found) > 1:
        raise Unsupported(f"vLLM's model has {len(found)} modules '{path}'")
    return found[0] if found else None
