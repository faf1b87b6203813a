"""The programs in examples/ run as they are, with fewer steps."""

import re
import runpy

import numpy as np
import pytest
from diffusers import DiffusionPipeline
from PIL import Image

from conftest import REPO


def example(name: str):
    return runpy.run_path(str(REPO / "examples" / name))["main"]


def printed_beta(capsys) -> float:
    return float(re.search(r"beta ([\d.]+)", capsys.readouterr().out)[1])


def test_the_training_loop_saves_a_model_that_diffusers_draws_from(tmp_path, capsys):
    out = tmp_path / "model"
    example("diffusers_training_loop.py")(["--steps=2", "--batch-size=16", f"--to={out}"])
    assert (out / "samples.png").is_file()
    assert "step 2 of 2: sensitive_positive" in capsys.readouterr().out
    pipe = DiffusionPipeline.from_pretrained(out)
    assert pipe(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 1)


def test_the_training_loop_reads_folders_and_refuses_one_alone(tmp_path, capsys):
    for name, count in (("u", 3), ("s", 2)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.new("RGB", (20, 12), (index * 60, 0, 0)).save(tmp_path / name / f"{index}.png")
    folders = [f"--unlabeled={tmp_path / 'u'}", f"--sensitive={tmp_path / 's'}"]
    main = example("diffusers_training_loop.py")
    main([*folders, "--size=32", "--steps=1", "--batch-size=4", f"--to={tmp_path / 'model'}"])
    assert (tmp_path / "model/samples.png").is_file()
    with pytest.raises(SystemExit):
        main(folders[:1])
    assert "expected both --unlabeled and --sensitive" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*folders, "--size=36"])
    assert "--size: expected a multiple of 8" in capsys.readouterr().err


def test_the_class_prior_of_the_digits_is_near_the_truth(capsys):
    example("class_prior.py")([])
    assert printed_beta(capsys) == pytest.approx(0.1, abs=0.02)


def test_the_class_prior_is_estimated_from_two_files(tmp_path, capsys):
    draws = np.random.default_rng(0)
    sensitive = draws.normal(3, 1, (60, 4))
    np.save(tmp_path / "s.npy", sensitive[:40])
    np.save(tmp_path / "u.npy", np.concatenate([sensitive[40:], draws.normal(-3, 1, (180, 4))]))
    files = [f"--unlabeled={tmp_path / 'u.npy'}", f"--sensitive={tmp_path / 's.npy'}"]
    example("class_prior.py")(files)
    assert printed_beta(capsys) == pytest.approx(0.1, abs=0.02)
