"""Why a model cannot be loaded."""


class ModelError(Exception):
    """One line that names the file, the field or tensor, and what to do."""
