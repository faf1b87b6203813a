"""Golden losses: five steps of each objective on the CPU in float32, stored at full precision.

`python tests/training/test_golden_curves.py` writes them anew where they should change.
"""

import json
import sys
from pathlib import Path

import pytest

from pu_diffusion_pipeline.diffusion.methods import METHODS
from tiny_training import TRAINED, train

STORED = Path(__file__).parent / "golden_curves.json"
# Those on a cleaned U have the objectives of others; for weights, tests/diffusion has the numbers.
TRAINED = [name for name in TRAINED if not METHODS[name].sections]
OBJECTIVES = [*TRAINED, "pu, absolute", "pu, none", "pu, beta 0.99"]


def curve(name: str) -> dict[str, list[float]]:
    from pu_diffusion_pipeline.diffusion.objectives import build_objective

    method, _, variant = name.partition(", ")
    beta = float(variant.removeprefix("beta ")) if variant.startswith("beta") else 0.1
    correction = variant if variant in ("absolute", "none") else "non_negative"
    history = train(
        method, minimised=build_objective(method, beta, correction, 0.2), num_steps=5
    ).history
    kept = set(history[0]) - {"step", "images_per_second", "learning_rate"}
    return {key: [row[key] for row in history] for key in sorted(kept)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_are_those_on_record(name):
    stored = json.loads(STORED.read_text())[name]
    found = curve(name)
    assert set(found) == set(stored)
    for key, values in stored.items():
        # Other processors sum in another order: float32 rounding, grown over five steps.
        assert found[key] == pytest.approx(values, rel=2e-4, abs=1e-6), key


def test_every_objective_has_a_curve_of_its_own():
    stored = json.loads(STORED.read_text())
    assert set(stored) == set(OBJECTIVES)
    curves = {name: tuple(values["loss"]) for name, values in stored.items()}
    same = [{name for name in curves if curves[name] == curve} for curve in set(curves.values())]
    assert sorted(map(sorted, (names for names in same if len(names) > 1))) == [
        ["oracle", "unsupervised"],
        [
            "pu",
            "pu, absolute",
            "pu, none",
        ],  # equal while the normal risk is positive, which it is in these five steps
    ]
    assert any(stored["pu, beta 0.99"]["correction_active"])


if __name__ == "__main__":
    STORED.write_text(json.dumps({name: curve(name) for name in OBJECTIVES}, indent=1) + "\n")
    sys.stdout.write(f"wrote {STORED}\n")
