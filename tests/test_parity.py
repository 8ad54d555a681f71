"""The released networks and losses against ours, in numbers: same weights, same inputs, every draw at its mean.

`benchmarks/parity.py` does the work, for any folder in the layout of the release's numbers. Those of the released code
itself lie outside the repository, in ``../shared/golden``; without them those tests skip. Other sizes are held against an
independent implementation, ``tests/reference.py``.
"""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import reference
import torch
from released_like import random_parts, save_parts

from diswm.released import read_parts

pytestmark = pytest.mark.xdist_group("parity")

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT.parent / "shared" / "golden"
needs_golden = pytest.mark.skipif(not (GOLDEN / "golden.npz").is_file(), reason="the release's numbers (../shared/golden) are not here")


def load_script() -> ModuleType:
    """`benchmarks/parity.py` as a module."""
    spec = importlib.util.spec_from_file_location("parity", ROOT / "benchmarks" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = module  # where its dataclasses look for their names
    spec.loader.exec_module(module)
    return module


parity = load_script()
SIZES: list[tuple[dict[str, Any], int, int]] = [
    ({"z_dim": 6, "act_dim": 2}, 2, 5),
    ({"z_dim": 9, "act_dim": 1, "stoch": 7, "deter": 13, "hidden": 11, "depth": 6, "units": 17, "reward_units": 5}, 1, 4),
    ({"z_dim": 1, "act_dim": 7, "actor_layers": 2, "critic_layers": 1, "reward_layers": 3}, 4, 9),
]


def make(folder: Path, sizes: dict[str, Any], batch: int, length: int, seed: int = 0) -> Path:
    """Weights and numbers of other sizes, as the independent implementation has them."""
    parts = random_parts(seed=seed, **sizes)
    save_parts(folder, parts)
    np.savez(folder / "golden.npz", **reference.golden(parts, batch=batch, length=length, seed=seed))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("parity") / "golden", *SIZES[0])


def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = parity.main([str(folder)])
    return code, capsys.readouterr().out


@needs_golden
def test_our_numbers_are_the_released_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, table = run(GOLDEN, capsys)
    assert code == 0, table
    with np.load(GOLDEN / "golden.npz") as file:
        wanted = {key for key in file if not key.startswith(parity.INPUTS)}
    assert wanted == {line.split()[0] for line in table.splitlines()[1:-1]}, "every quantity has a line"


def check_update(folder: Path) -> None:
    """The losses and norms of golden.npz out of the agent's own update, with all noise at zero: its horizon, discount, lambda, weights."""
    found = parity.Parity(folder)
    agent, golden = found.agent, found.golden
    agent.world.noise = lambda generator, *shape: torch.zeros(shape)
    behaviour = agent.update_behaviour(found.obs.post)
    world = agent.update_world(found.data)[1]
    norms = [float(golden[f"total/grad_norm_{part}"]) for part in ("encoder", "decoder", "rssm", "reward")]
    expected = {
        "loss/total": float(golden["total/loss"]),
        "grad_norm/model": float(np.linalg.norm(norms)),
        "actor/loss": float(golden["behaviour/actor_loss"]),
        "critic/loss": float(golden["behaviour/value_loss"]),
    }
    assert {name: float((world | behaviour)[name]) for name in expected} == pytest.approx(expected, rel=1e-4)


@needs_golden
def test_the_whole_update_takes_these_losses() -> None:
    check_update(GOLDEN)


def test_the_whole_update_at_other_sizes(folder: Path) -> None:
    check_update(folder)


@needs_golden
def test_the_independent_implementation_is_right_too() -> None:
    """It gives the release's numbers, so that it may stand for them at other sizes."""
    with np.load(GOLDEN / "golden.npz") as file:
        golden = {key: torch.from_numpy(file[key]) for key in file}
    parts = read_parts(GOLDEN)
    wide = {part: {name: value.double().requires_grad_() for name, value in state.items()} for part, state in parts.items()}
    found = reference.finetuning(wide, {name: golden[f"in/{name}"] for name in ("image", "action", "reward")})
    starts = (found[f"rssm/post_{name}"].flatten(0, 1) for name in ("stoch", "deter"))
    found |= {f"behaviour/{name}": value for name, value in reference.behaviour(wide, *starts).items()}
    rows = [parity.row(key, value.detach(), golden[key]) for key, value in found.items()]
    assert len(rows) > 35
    assert all(row.ok for row in rows), [row for row in rows if not row.ok]


@pytest.mark.parametrize(("sizes", "batch", "length"), SIZES)
def test_other_sizes_pass_through_the_same_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sizes: dict[str, Any], batch: int, length: int
) -> None:
    code, table = run(make(tmp_path / "golden", sizes, batch, length, seed=1), capsys)
    assert code == 0, table
    assert re.search(r"50 of 50 quantities within tolerance$", table.strip())


def check_bfloat16(folder: Path) -> None:
    """Within the tolerances of its rounding, where it rounds; float32 is kept for what is no product, and for the teacher."""
    rows = {row.key: row for row in parity.Parity(folder, "bfloat16").table()}
    assert all(row.ok for row in rows.values()), [row for row in rows.values() if not row.ok]
    assert rows["encoder/mean"].error > 1e-4, "this was float32"
    for key in ("teacher/mean", "lambda_return/out"):
        assert rows[key].error < parity.tolerance(key, "float32")


@needs_golden
def test_bfloat16_gives_the_released_numbers_within_its_rounding() -> None:
    check_bfloat16(GOLDEN)


def test_bfloat16_at_other_sizes(folder: Path) -> None:
    check_bfloat16(folder)


@pytest.mark.parametrize(
    ("key", "factor"),
    [
        ("encoder/logvar", 1 + 5e-5), ("rssm_action_free/post_std", 1 + 5e-5), ("behaviour/target", 1 + 5e-5), ("loss/kl", 1 + 5e-4),
        ("total/grad_norm_rssm", 1 + 5e-4), ("behaviour/actor_loss", 1 + 5e-4), ("decoder/image", math.nan),
    ],
)  # fmt: skip
def test_one_wrong_number_is_found(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, factor: float) -> None:
    changed = altered(folder, tmp_path, lambda numbers: numbers.update({key: (numbers[key] * factor).astype(np.float32)}))
    code, table = run(changed, capsys)
    assert code == 1
    assert table.strip().endswith(f"49 of 50 quantities within tolerance; not: {key}")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda numbers: numbers.pop("loss/kl"), "not in golden.npz"),
        (lambda numbers: numbers.update({"loss/new": np.float32(1)}), "is not compared"),
        (lambda numbers: numbers.update({"feat": numbers["feat"][:1]}), "theirs (1, 5, 14)"),
    ],
)
def test_what_is_not_compared_is_no_parity(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, word: str
) -> None:
    code, table = run(altered(folder, tmp_path, change), capsys)
    assert code == 1
    assert word in table


def altered(folder: Path, tmp_path: Path, change: Any) -> Path:
    """The folder with other numbers."""
    with np.load(folder / "golden.npz") as file:
        numbers = dict(file)
    change(numbers)
    save_parts(tmp_path / "altered", read_parts(folder))
    np.savez(tmp_path / "altered" / "golden.npz", **numbers)
    return tmp_path / "altered"


def test_a_wrong_weight_is_found(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = altered(folder, tmp_path, lambda numbers: None)
    state = torch.load(changed / "rssm.pt", weights_only=True)
    state["_cell._norm.bias"][0] += 0.01
    torch.save(state, changed / "rssm.pt")
    code, table = run(changed, capsys)
    assert code == 1
    assert "encoder/mean" not in table.splitlines()[-1]
    assert "rssm/post_deter" in table.splitlines()[-1]


def test_the_script_says_what_is_wrong_with_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(folder)]) == 0
    assert capsys.readouterr().err == ""
    changed = altered(folder, tmp_path, lambda numbers: None)
    (changed / "golden.npz").write_bytes(b"no")
    script = [sys.executable, str(ROOT / "benchmarks" / "parity.py"), str(changed)]
    damaged = subprocess.run(script, capture_output=True, text=True, check=False)
    assert damaged.returncode == 2
    assert damaged.stderr.startswith("parity: error: ")
    assert damaged.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("in/action", lambda value: value[..., :1], "in/action has shape (2, 5, 1), expected (2, 5, 2)"),
        ("in/reward", lambda value: value[..., None], "in/reward has shape (2, 5, 1), expected (2, 5)"),
        ("in/image", lambda value: value[:, :, :32, :32], "in/image has shape (2, 5, 32, 32, 3), expected (2, 5, 64, 64, 3)"),
    ],
)
def test_inputs_that_do_not_fit_the_weights(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, change: Any, words: str
) -> None:
    changed = altered(folder, tmp_path, lambda numbers: numbers.update({key: change(numbers[key])}))
    assert parity.main([str(changed)]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_a_part_cannot_be_compared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = altered(folder, tmp_path, lambda numbers: None)
    (changed / "teacher_encoder.pt").unlink()
    assert parity.main([str(changed)]) == 2
    assert "teacher_encoder.pt" in capsys.readouterr().err
