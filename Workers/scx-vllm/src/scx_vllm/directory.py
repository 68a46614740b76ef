"""Where the checkpoint is that the engine serves."""

import os

from scx_torch.model.errors import ModelError


def model_directory(named: str | None, model: str, revision: str | None) -> str:
    """The directory that the settings name, or what vLLM was given, or where its download is.

    Raises a ModelError when this machine has none of these.
    """
    if named is not None:
        return named
    if os.path.isdir(model):
        return model
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(model, revision=revision, local_files_only=True))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{model}: this machine has none of its files ({reason}); name them with '--model'") from None
