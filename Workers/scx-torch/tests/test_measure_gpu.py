"""The arithmetic of `Tools/measure-gpu`: what fits into its time, what its tables say, and whether its check finds faults."""

import json
import pathlib
import sys
from typing import Any

import pytest
import torch
from conftest import REPOSITORY, run, swift

from scx_torch.compute import ring
from scx_torch.model.checkpoint import Checkpoint

sys.path.append(str(REPOSITORY / "Tools"))

from gpu_measure import kernels, serving, shapes, table
from gpu_measure.budget import MOST_CORRECTION, Budget, OutOfTimeError, Plan
from gpu_measure.client import parse_counts
from gpu_measure.pack import has_server
from gpu_measure.results import Results, read


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A plan with a clock, 100 seconds and no reserve."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.budget = Budget(100, reserve=0, clock=self.clock)
        self.results = Results(show=lambda line: None)
        self.plan = Plan(self.budget, self.results)

    def run(self, name: str, guess: float, takes: float, kind: str | None = None, needs: tuple[str, ...] = ()) -> str:
        """Runs a step that takes some seconds; gives what became of it."""

        def work() -> None:
            self.clock.now += takes

        self.plan.run(name, work, guess, kind, needs)
        status: str = self.results.entries[-1]["status"]
        return status


def test_a_step_that_does_not_fit_is_left_out_with_those_that_need_it() -> None:
    bench = Bench()
    assert bench.run("first", 60, 60) == "done"
    assert bench.run("second", 41, 1) == "skipped"
    assert "41 s, and 40 s are left" in bench.results.entries[-1]["note"]
    assert bench.run("third", 1, 1, needs=("first", "second")) == "skipped"
    assert bench.results.entries[-1]["note"] == "needs second"
    assert bench.run("fourth", 40, 40, needs=("first",)) == "done"
    with pytest.raises(OutOfTimeError):
        bench.budget.timeout()


def test_guesses_learn_from_the_last_step_of_their_kind() -> None:
    bench = Bench()
    assert bench.run("small", 10, 20, kind="prepare") == "done"
    assert bench.budget.expected("prepare", 30) == 60
    assert bench.run("large", 41, 1, kind="prepare") == "skipped"
    assert bench.run("other", 41, 1, kind="sealed") == "done"
    bench.budget.took("prepare", 1, 1_000)
    assert bench.budget.expected("prepare", 1) == MOST_CORRECTION


def test_a_share_of_the_time_ends_before_the_whole() -> None:
    bench = Bench()
    bench.budget.until(0.3, reserve=0)
    assert bench.budget.left == 30
    assert bench.run("too long", 31, 31) == "skipped"
    bench.clock.now += 20
    # What a part leaves is there for the next.
    bench.budget.until(1.0, reserve=0)
    assert bench.budget.left == 80
    assert bench.budget.timeout(10) == 10


def test_a_step_that_fails_or_is_cut_says_why_and_others_go_on() -> None:
    bench = Bench()

    def fails() -> None:
        raise ValueError("one line\nand another")

    def is_cut() -> None:
        bench.clock.now += 1_000
        bench.budget.timeout()

    assert not bench.plan.run("fails", fails, 1)
    assert bench.results.entries[-1]["note"] == "ValueError: one line"
    assert not bench.plan.run("is cut", is_cut, 1)
    assert bench.results.entries[-1]["status"] == "cut"


def test_results_are_there_when_a_run_is_ended(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "results"
    results = Results(path, show=lambda line: None)
    results.add("peak", bytes=1.5)
    # The file is not closed, and its last line is cut.
    path.write_bytes(path.read_bytes() + b'{"kind": "ker')
    assert read(path) == [{"kind": "peak", "bytes": 1.5}]
    results.close()


def first(
    model: str, profile: str, prompt: int, seconds: float, stalled: float = 0, refused: float = 0
) -> dict[str, Any]:
    """A result of a first token."""
    return {
        "kind": "first", "model": model, "profile": profile, "prompt": prompt, "first_s": seconds,
        "stalled_s": stalled, "refused": refused, "computed_here": 0,
    }  # fmt: skip


def cells(text: str, start: str) -> list[str]:
    """The cells of the row that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_has_the_best_of_each_and_nothing_for_what_is_missing() -> None:
    entries = [
        first("8B", "sealed", 128, 0.25), first("8B", "sealed", 128, 0.125), first("8B", "plain", 2_048, 1.5),
        first("1.1B", "sealed", 128, 2.0, stalled=1.0),
        {"kind": "sessions", "model": "8B", "profile": "sealed", "sessions": 1, "tokens": 10, "token_s": 0.02,
         "exchanges": 1_290, "bytes_sent": 2e6, "bytes_received": 4e6, "processor_s": 0.05, "stalled_s": 0.01},
        {"kind": "sessions", "model": "8B", "profile": "sealed", "sessions": 16, "tokens": 10, "token_s": 0.032},
    ]  # fmt: skip
    text = table.tables(entries)
    assert cells(text, "| 8B | `plain`") == ["8B", "`plain`", "–", "1.5", "–", "–", "–"]  # noqa: RUF001
    assert cells(text, "| 8B | `sealed` | 0.125") == ["8B", "`sealed`", "0.125", "–", "20", "50", "500"]  # noqa: RUF001
    assert cells(text, "| 1.1B | `sealed`")[2] == "2 (1 of it for pads)"
    assert cells(text, "| 8B | `sealed` | 129") == ["8B", "`sealed`", "129", "200", "400", "5", "1"]
    assert "refused" not in text
    wrong = table.tables([first("8B", "sealed", 128, 1, refused=3)])
    assert "**3 products were refused or computed on the trusted side.**" in wrong
    assert table.tables([]) == "\n"


def test_products_of_a_model_are_added_only_when_all_sites_are_there() -> None:
    def kernel(site: str, count: int, ring_s: float) -> dict[str, Any]:
        times = {
            "ring_s": ring_s,
            "ring_queued_s": ring_s,
            "bf16_s": 0.001,
            "ring_floor_s": 0.001,
            "bf16_floor_s": 0.0005,
        }
        return {
            "kind": "kernel",
            "model": "8B",
            "site": site,
            "count": count,
            "rows": 16,
            "sites": 2,
            "way": "bytes",
        } | times

    one, two = kernel("o", 32, 0.002), kernel("head", 1, 0.002)
    assert table.token_kernels([one], "8B", 16, "ring_s") is None
    assert table.token_kernels([one, two], "8B", 16, "ring_s") == pytest.approx(33 * 0.002)
    assert cells(table.tables([one, two]), "| 8B | 16")[5:8] == ["2", "50%", "50%"]


def test_figures_have_no_exponents() -> None:
    values = [None, 0, 0.00001234, 0.0456, 7.891, 12345.6, 5e9]
    assert [table.figure(value) for value in values] == [
        "–", "0", "0.0000123", "0.0456", "7.89", "12,300", "5,000,000,000",  # noqa: RUF001
    ]  # fmt: skip


def test_counters_of_one_profile() -> None:
    text = """# HELP scx_answers_total Answers.
scx_answers_total{model_name="m",profile="sealed",finished_reason="length"} 2
scx_answers_total{model_name="m",profile="sealed",finished_reason="stop"} 3
scx_answers_total{model_name="m",profile="plain",finished_reason="stop"} 7
scx_time_seconds_bucket{model_name="m",profile="sealed",le="0.1"} 1
scx_time_seconds_sum{model_name="m",profile="sealed"} 1.5e-05
scx_requests_total{model_name="m",route="/v1/completions",status="200"} 9
"""
    assert parse_counts(text, "sealed") == {"scx_answers_total": 5, "scx_time_seconds_sum": 1.5e-05}


def test_parts_of_the_laboratory() -> None:
    text = "sealed: …\nms of a prompt: round 0.3, link 51.1, rest 0\nms of a token: round 0.01, link 6.5, rest 0.2\n"
    assert serving.read_parts(text) == {
        "prompt": {"round": 0.3, "link": 51.1, "rest": 0.0}, "token": {"round": 0.01, "link": 6.5, "rest": 0.2},
    }  # fmt: skip
    with pytest.raises(ValueError, match="no parts of a token"):
        serving.read_parts("ms of a prompt: round 0.3")


def test_the_check_of_kernels_finds_one_wrong_bit() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(-(2**31), 2**31, (5, 64), generator=generator).to(torch.int32)
    w = torch.randint(-127, 128, (40, 64), generator=generator).to(torch.int8)
    found = ring.ring_product(x, w)
    kernels.check(x, w, found)
    found[2, 39] ^= 1
    with pytest.raises(ValueError, match="5 rows"):
        kernels.check(x, w, found)


@pytest.mark.parametrize("name", ["1.1B", "8B", "7B"])
def test_checkpoints(name: str, tmp_path: pathlib.Path) -> None:
    small = shapes.SMALL[name]
    shapes.write_checkpoint(small, tmp_path / "model", torch.device("cpu"))
    config = Checkpoint(str(tmp_path / "model")).config
    assert (config.hidden, config.block_count, config.heads, config.kv_heads, config.feed_forward, config.vocabulary) == (
        small.hidden, small.blocks, small.heads, small.kv_heads, small.feed_forward, small.vocabulary,
    )  # fmt: skip
    header = (tmp_path / "model/model.safetensors").read_bytes()
    entries = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    norms = 2 * (2 * small.blocks + 1) * small.hidden
    assert max(entry["data_offsets"][1] for entry in entries.values()) == 2 * small.parameters + norms


def test_shapes_are_those_of_the_published_models() -> None:
    # docs/pads.md has these of the first and the last, and docs/profile-sealed.md of the middle one.
    assert {name: shape.pad_bytes for name, shape in shapes.SHAPES.items()} == {
        "1.1B": 1_704_960, "8B": 6_018_048, "7B": 5_567_488,
    }  # fmt: skip
    assert [round(shape.products / 1e9, 2) for shape in shapes.SHAPES.values()] == [1.03, 7.5, 6.61]


def test_a_small_model_is_measured_in_all_profiles(tmp_path: pathlib.Path) -> None:
    scx = pathlib.Path(swift("scx"))
    if not has_server(scx):
        pytest.skip("scx was built without the trait Network")
    # So many minutes that no step is left out, however busy the machine is.
    command = [sys.executable, str(REPOSITORY / "Tools/measure-gpu"), "--small", "--device", "cpu", "--models", "8B"]
    command += ["--threads", "1", "--minutes", "60", "--bin", str(scx.parent), "--work", str(tmp_path)]
    text = run([*command, "--out", str(tmp_path / "results")])
    entries = read(tmp_path / "results")
    steps = {entry["name"]: entry["status"] for entry in entries if entry["kind"] == "step"}
    names = ["prepare", "pads", "sealed", "plain", "scx", "parts", "long"]
    assert steps == {"kernels": "done", "link": "done"} | {f"8B {name}": "done" for name in names}
    for profile in table.PROFILES:
        row = cells(text, f"| 8B | `{profile}`")
        assert len(row) == 9 and not any(cell.startswith(table.NONE) for cell in row)
    assert "refused" not in text.split("Served on the same machine")[1].split("Pads from a peer")[0]
    assert text.endswith(table.tables(entries))
