"""What this process of vLLM holds, as the parts of `scx-torch` need it."""

from contextlib import AbstractContextManager
from typing import Any, Final

import torch
from vllm import envs
from vllm.config import set_current_vllm_config
from vllm.distributed import get_pp_group, get_world_group

from scx_torch.compute.parallel import Team
from scx_torch.link.requests import Site
from scx_torch.model.checkpoint import Checkpoint
from scx_vllm.directory import model_directory
from scx_vllm.errors import Unsupported
from scx_vllm.products import ModuleProduct, find
from scx_vllm.settings import Settings
from scx_vllm.sites import EngineLoader

# What `hello` says of the engine's type of weights.
_FORMS: Final = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class Engine:
    """The engine's modules for all sites of the model."""

    def __init__(self, vllm_config: Any, model: torch.nn.Module, device: torch.device, settings: Settings) -> None:
        self._vllm_config = vllm_config
        self._settings = settings
        self.device = device
        model_config = vllm_config.model_config
        _check_engine(vllm_config)
        self.checkpoint = Checkpoint(model_directory(settings.model, model_config.model, model_config.revision))
        self.digest = self.checkpoint.digest()
        _check_model(self.checkpoint)
        self._type: torch.dtype = model_config.dtype
        if self._type not in _FORMS:
            raise Unsupported(f"vLLM computes in {self._type}; float32, bfloat16 and float16 are known here")
        self.form = _FORMS[self._type]
        # A product of more rows at a time might need memory that the engine has not set aside.
        self._rows: int = vllm_config.scheduler_config.max_num_batched_tokens
        world = get_world_group()
        self.team = Team(world.rank_in_group, world.world_size, world.device_group, world.cpu_group)
        self.stage: int = get_pp_group().rank_in_group
        self._names = self.checkpoint.config.sites()
        self._found: list[ModuleProduct | None] = [
            find(model, self.checkpoint.config, site, block) for block, site in self._names
        ]

    def held(self) -> list[bool]:
        """For each site whether this process holds a part of it."""
        return [found is not None for found in self._found]

    def context(self) -> AbstractContextManager[Any]:
        """vLLM's modules may ask for its configuration while they compute."""
        context: AbstractContextManager[Any] = set_current_vllm_config(self._vllm_config)
        return context

    def loader(self, stages: list[int]) -> EngineLoader:
        """A loader of all sites; `stages` says for each which stage of the pipeline computes it."""
        products = {
            name: _SiteProduct(self, found, stage, self.checkpoint.config.shape(name[1], name[0])[0])
            for name, found, stage in zip(self._names, self._found, stages, strict=True)
        }
        return EngineLoader(
            self.checkpoint, self.form, self.device, self.team, {**products}, self._settings.sealed
        )  # fmt: skip

    def multiply(self, product: ModuleProduct, x: torch.Tensor) -> torch.Tensor:
        """A module's product of float32 rows, in the engine's type."""
        with self.context():
            parts = [product(part.to(self._type)).to(torch.float32) for part in torch.split(x, self._rows)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]


class _SiteProduct:
    """A site's product, which every process gets whole: from its own stage of the pipeline, or from another one."""

    def __init__(self, engine: Engine, found: ModuleProduct | None, stage: int, outputs: int) -> None:
        self._engine = engine
        self._found = found
        self._stage = stage
        self._outputs = outputs

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        engine, pipeline = self._engine, get_pp_group()
        if engine.stage == self._stage:
            assert self._found is not None
            result = engine.multiply(self._found, x).contiguous()
        else:
            result = x.new_empty(x.shape[0], self._outputs)
        if pipeline.world_size > 1:
            pipeline.broadcast(result, self._stage)
        return result


def _check_engine(vllm_config: Any) -> None:
    parallel = vllm_config.parallel_config
    if parallel.distributed_executor_backend == "ray" and not envs.VLLM_USE_RAY_V2_EXECUTOR_BACKEND:
        # Its steps do not come by the queue of `collective_rpc`.
        raise Unsupported("'VLLM_USE_RAY_V2_EXECUTOR_BACKEND' must be 1: the older executor for Ray is not supported")
    if parallel.data_parallel_size > 1:
        raise Unsupported("'--data-parallel-size' must be 1: the link needs one engine")
    for name in ("decode_context_parallel_size", "prefill_context_parallel_size"):
        if getattr(parallel, name, 1) > 1:
            raise Unsupported(f"'--{name.replace('_', '-')}' must be 1")
    if vllm_config.lora_config is not None:
        raise Unsupported("'--enable-lora' is not supported: the modules would add an adapter's products")


def _check_model(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    where = checkpoint.directory
    if config.tower is not None:
        raise Unsupported(f"{where}: models that take pictures are not supported inside vLLM; use scx-torch-worker")
    if not config.is_causal:
        raise Unsupported(f"{where}: encoders are not supported inside vLLM; use scx-torch-worker")
    if config.experts is not None:
        raise Unsupported(f"{where}: models with experts are not supported inside vLLM; use scx-torch-worker")
    if config.latent is not None:
        raise Unsupported(f"{where}: latent attention is not supported inside vLLM; use scx-torch-worker")
    if not config.has(Site.head, 0):
        raise Unsupported(f"{where}: has no head")
