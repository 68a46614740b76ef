"""Where things lie: in a checkout, and in the archive that `--pack` makes."""

import importlib.util
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKER = ROOT / "Workers/scx-torch/src"


def binaries(given=None):
    """The folder of `scx`: as given, of the archive, or of a release build."""
    folders = [given] if given else [ROOT / "bin", ROOT / ".build/release"]
    for folder in folders:
        if pathlib.Path(folder, "scx").is_file():
            return pathlib.Path(folder).resolve()
    raise RuntimeError(f"there is no scx in {' or '.join(map(str, folders))}: name its folder with '--bin'")


def environment(folder):
    """The environment of programs in a folder, with the libraries of the archive beside it."""
    library = pathlib.Path(folder, "../lib").resolve()
    if not library.is_dir():
        return dict(os.environ)
    known = os.environ.get("LD_LIBRARY_PATH")
    return dict(os.environ, LD_LIBRARY_PATH=os.pathsep.join([str(library), *([known] if known else [])]))


def find_packages(wheels, folder):
    """Makes the worker and the packages that it needs importable, those that are missing from wheels, without a network."""
    missing = [name for name in ("torch", "numpy", "cryptography") if importlib.util.find_spec(name) is None]
    paths = [str(WORKER)]
    if missing:
        files = sorted(pathlib.Path(wheels).glob("*.whl")) if wheels and pathlib.Path(wheels).is_dir() else []
        if not files:
            raise RuntimeError(f"{sys.executable} has no {', '.join(missing)}: give their wheels with '--wheels DIR'")
        site = pathlib.Path(folder, "site")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--target", site, *files], check=True)
        paths.append(str(site))
    sys.path[:0] = paths
    # For the workers, which are processes of their own.
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
