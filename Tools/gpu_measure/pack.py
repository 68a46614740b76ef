"""Gathers everything that a machine with a card needs into one file."""

import io
import lzma
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from gpu_measure.files import ROOT, environment

LIMIT = 64 << 20
# The programs have the same runtime linked into them. Within such a distance it is stored once.
_DICTIONARY = 128 << 20


def pack(target, binaries, wheels=None):
    """Writes the archive; gives its bytes and what it holds, as `(name, bytes)`. Raises when it is larger than the limit."""
    programs = [path for name in ("scx", "scx-lab") if (path := pathlib.Path(binaries, name)).is_file()]
    if not programs or programs[0].name != "scx":
        raise RuntimeError(f"no program '{binaries}/scx': build it, or name another folder with '--bin'")
    if not has_server(programs[0]):
        raise RuntimeError(f"{programs[0]} was built without the trait 'Network', and cannot serve")
    files = {f"bin/{path.name}": stripped(path) for path in programs}
    files |= {f"lib/{path.name}": path.read_bytes() for path in runtime(programs)}
    files |= {str(path.relative_to(ROOT)): path.read_bytes() for path in sources()}
    if wheels:
        files |= {f"wheels/{path.name}": path.read_bytes() for path in sorted(pathlib.Path(wheels).glob("*.whl"))}
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": _DICTIONARY}]
    with lzma.open(target, "wb", filters=filters) as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"scx-gpu/{name}")
            entry.size = len(data)
            entry.mode = 0o755 if name.startswith("bin/") or name == "Tools/measure-gpu" else 0o644
            archive.addfile(entry, io.BytesIO(data))
    size = pathlib.Path(target).stat().st_size
    if size > LIMIT:
        raise RuntimeError(f"{target} has {size / 2**20:.1f} MiB, which is more than {LIMIT >> 20}")
    return size, [(name, len(data)) for name, data in files.items()]


def has_server(program):
    """Whether `scx serve` is in a build."""
    done = subprocess.run(
        [program, "serve", "--help"], capture_output=True, text=True, check=False, env=environment(program.parent)
    )
    return "--port" in done.stdout


def sources():
    """This program and the worker."""
    folders = [ROOT / "Tools/gpu_measure", ROOT / "Workers/scx-torch/src"]
    found = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [ROOT / "Tools/measure-gpu", *found]


def stripped(program):
    """A program's bytes, without symbols where `strip` is there."""
    if shutil.which("strip") is None:
        return program.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["strip", "--strip-all", "-o", f"{folder}/program", program], check=True)
        return pathlib.Path(folder, "program").read_bytes()


def runtime(programs):
    """The libraries of Swift that programs need which were built without `--static-swift-stdlib`."""
    found = set()
    for program in programs:
        text = subprocess.run(
            ["ldd", program], capture_output=True, text=True, check=True, env=environment(program.parent)
        ).stdout
        for line in text.splitlines():
            words = line.split()
            if len(words) < 3 or words[1] != "=>":
                continue
            if words[2] == "not":
                raise RuntimeError(f"{program} needs {words[0]}, which is not found here")
            # What lies with the system's libraries every machine has.
            if not words[2].startswith(("/lib", "/usr/lib")):
                found.add(pathlib.Path(words[2]))
    return sorted(found)
