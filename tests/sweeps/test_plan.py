"""What a sweep runs: no run twice, nothing shared made twice, what is needed first, what is left.

The graph is the project's own; nothing runs.
"""

import shutil

import pytest

import tiny_training
from conftest import REPO
from pu_diffusion_pipeline.cli import parse_params
from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import flat, kedro_run
from pu_diffusion_pipeline.sweeps import timing
from pu_diffusion_pipeline.sweeps.arguments import Request
from pu_diffusion_pipeline.sweeps.plan import make_plan
from pu_diffusion_pipeline.sweeps.runs import nested
from pu_diffusion_pipeline.sweeps.timing import estimate_seconds
from sweeps.fakes import finish


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the configuration in which nothing has run."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(REPO / "conf", folder / "conf")
    return folder


def plan_of(project, **request):
    return make_plan(Request(**{"benchmarks": ("test",), "seeds": (0,), **request}), project)


def nodes_of(task) -> set[str]:
    return {step.node for step in task.steps}


def check_laws(plan) -> None:
    """What holds for every plan."""
    assert len({run.metrics for run in plan.runs}) == len(plan.runs)
    made = [frozenset(step.makes) for task in plan.tasks for step in task.steps]
    assert len(set(made)) == len(made)
    names = [task.name for task in plan.tasks]
    assert len(set(names)) == len(names)
    of_runs = {task.name for task in plan.tasks if task.run}
    assert not any(task.needs & of_runs for task in plan.tasks), "no run waits for another run"
    makers = {}
    for number, task in enumerate(plan.tasks):
        assert all(names.index(one) < number for one in task.needs)
        for step in task.steps:
            for path in step.reads:
                assert path in makers or any(path == one.path for one in all_made(task)), path
        for path in {one.path for one in all_made(task)}:
            if path in makers:  # never written by two at once
                assert makers[path] in task.needs
            makers[path] = task.name
        for step in task.steps:
            needed = {makers[path] for path in step.reads} - {task.name}
            assert needed <= waits_for(plan, task)


def all_made(task):
    return [saved for step in task.steps for saved in step.makes]


def waits_for(plan, task) -> set[str]:
    """Directly or not."""
    by_name = {one.name: one for one in plan.tasks}
    return set(task.needs).union(*(waits_for(plan, by_name[one]) for one in task.needs))


def test_the_default_is_the_papers_methods(project):
    plan = plan_of(project, seeds=(0, 3))
    check_laws(plan)
    assert [(run.method, run.given["seed"]) for run in plan.runs] == [
        (method, seed) for seed in (0, 3) for method in DEFAULT_METHODS
    ]


def test_baselines_are_not_repeated_for_each_beta(project):
    plan = plan_of(project, betas=(0.05, 0.1))
    check_laws(plan)
    assert [(run.method, run.given.get("beta")) for run in plan.runs] == [
        ("unsupervised", None), ("supervised", None), ("pu", 0.05), ("pu", 0.1)
    ]  # fmt: skip


def test_all_methods_share_the_models_that_they_draw_from(project):
    plan = plan_of(project, methods="all", betas=(0.05, 0.1))
    check_laws(plan)
    runnable = set(METHODS) - {"pretrained", "pnu"}  # nothing pre-trained, no labeled normal images
    assert {run.method for run in plan.runs} == runnable
    trained = [one for task in plan.tasks for one in nodes_of(task) if ".train_denoiser" in one]
    assert sorted(set(trained)) == sorted(f"{one}.training.train_denoiser" for one in runnable
                                          if METHODS[one].trains)  # fmt: skip
    assert trained.count("pu.training.train_denoiser") == 2  # one for each beta
    by_method = {task.run.method: task for task in plan.tasks if task.run}
    needed = " ".join(waits_for(plan, by_method["pu_guided"]))
    assert "pu.training" in needed
    assert "unsupervised.training" in needed


def test_seeds_of_one_method_work_at_once(project):
    """Every seed's split writes the table of test images: only the splits wait for each other."""
    plan = plan_of(project, methods=("unsupervised",), seeds=(0, 1, 2))
    check_laws(plan)
    splits = [task for task in plan.tasks if "data_engineering.split_source" in nodes_of(task)]
    assert len(splits) == 3
    assert not any(task.run for task in splits)


def test_no_training_waits_for_the_judge_and_the_judge_for_no_training(project):
    plan = plan_of(project, seeds=(0, 1))
    (judge,) = (task for task in plan.tasks if "judging.train_judge" in nodes_of(task))
    training = [task for task in plan.tasks if "read_training_images" in task.name]
    assert len(training) == 2
    assert all(judge.name not in waits_for(plan, task) for task in training)
    assert not waits_for(plan, judge) & {task.name for task in training}


def test_values_that_matter_for_sampling_alone_share_the_training(project):
    plan = plan_of(project, methods=("pu",), set={"sampling.num_steps": (2, 3)})
    check_laws(plan)
    trainings = [task for task in plan.tasks if "pu.training.train_denoiser" in nodes_of(task)]
    assert [task.run for task in trainings] == [None]
    ends = [task for task in plan.tasks if task.run]
    assert [task.arguments[2] for task in ends] == ["--pipelines=sample_pu,evaluate_pu"] * 2
    assert all(trainings[0].name in task.needs for task in ends)


@pytest.mark.parametrize(
    "values",
    [
        {"evaluation.neighborhood": (3, 5)},
        {"judge.num_epochs": (1, 2)},
        {"sensitivity.folds": (2, 3)},
        {"filtering.share": (0.1, 0.2), "guiding.weight": (1.0, 2.0)},
    ],
)
def test_what_comes_after_a_shared_training_waits_for_it(project, values):
    check_laws(plan_of(project, methods="all", set=values))
    plan = plan_of(project, methods=("pu",), set=values)
    check_laws(plan)
    assert "pu.training.train_denoiser" not in nodes_of(plan.tasks[0])
    assert "pu.sampling.sample_model" not in nodes_of(plan.tasks[0])


def test_a_parameter_that_does_not_matter_gives_no_second_run(project):
    plan = plan_of(project, methods=("unsupervised",), set={"class_prior.folds": (2, 3)})
    assert len(plan.runs) == 1


@pytest.mark.parametrize("params", [{"beta": "estimated"}, {"watch": {"every": 2}}])
def test_pipelines_that_depend_on_parameters(project, params):
    betas = (params["beta"],) if "beta" in params else ()
    params = {name: value for name, value in params.items() if name != "beta"}
    plan = plan_of(
        project, methods=("unsupervised", "pu"), seeds=(0, 1), betas=betas, params=params
    )
    check_laws(plan)
    (judge,) = (task for task in plan.tasks if "judging.train_judge" in nodes_of(task))
    priors = [task for task in plan.tasks if any("class_prior" in one for one in nodes_of(task))]
    assert len(priors) == 2 * len(betas)
    if not betas:
        runs = [task for task in plan.tasks if task.run]
        assert all(judge.name in waits_for(plan, task) for task in runs)


def test_what_is_finished_is_left_out(tmp_path):
    shutil.copytree(REPO / "conf", tmp_path / "conf")
    whole = plan_of(tmp_path, methods=("unsupervised", "pu"))
    for saved in [whole.runs[0].metrics, *(one for t in whole.tasks[:1] for one in t.makes)]:
        finish(saved, whole.runs[0])
    rest = plan_of(tmp_path, methods=("unsupervised", "pu"))
    assert {task.run.method for task in rest.tasks if task.run} == {"pu"}
    assert [run.is_finished for run in rest.runs] == [True, False]
    begun = {one for task in rest.tasks for one in nodes_of(task)}
    assert not begun & nodes_of(whole.tasks[0])
    # A file whose digest was not noted yet is not finished.
    whole.runs[0].metrics.claim.unlink()
    assert len(plan_of(tmp_path, methods=("unsupervised", "pu")).missing) == 2


def test_finished_runs_of_other_parameters_are_refused(tmp_path):
    shutil.copytree(REPO / "conf", tmp_path / "conf")
    (run,) = plan_of(tmp_path, methods=("unsupervised",)).runs
    finish(run.metrics, run)
    assert not plan_of(tmp_path, methods=("unsupervised",)).missing
    edited = tmp_path / "conf/test/parameters.yml"
    edited.write_text(edited.read_text().replace("num_steps: 6", "num_steps: 7"))
    with pytest.raises(InvalidInput, match=r"made with other parameters:\s+training.num_steps"):
        plan_of(tmp_path, methods=("unsupervised",))


def test_a_choice_of_steps_takes_the_place_of_epochs(project):
    chosen = {"methods": ("pu",), "set": {"training.num_steps": (100, 200)}}
    plan = plan_of(project, benchmarks=("mnist_even",), params={"training": {"num_epochs": None}},
                   **chosen)  # fmt: skip
    assert len(plan.runs) == 2


def test_each_training_of_a_guided_run_is_a_task(project):
    plan = plan_of(project, methods=("pu_guided",))
    check_laws(plan)
    trainings = [task for task in plan.tasks if ".training." in task.name]
    assert len(trainings) == 2
    assert not any(task.needs & {one.name for one in trainings} for task in trainings)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"set": {"training.num_stepz": (3,)}}, "did you mean training.num_steps?"),
        ({"set": {"sampling.num_steps": (3, "many")}}, "sampling.num_steps"),
        ({"params": {"trainin": {"num_steps": 3}}}, "trainin: unknown parameter"),
        ({"betas": (1.5,)}, "beta: must be a number in"),
        ({"betas": (0.1,), "methods": ("unsupervised",)}, "none of the methods uses beta"),
        ({"methods": ("pnu",)}, "test cannot run pnu: data.counts.labeled_normal is 0"),
        ({"methods": ("pretrained",)}, "test cannot run pretrained: pretrained is null"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(project, request_, message):
    with pytest.raises(InvalidInput) as error:
        plan_of(project, **request_)
    assert message in str(error.value)


def test_a_fine_tuned_benchmark_has_the_model_it_starts_from(project):
    plan = plan_of(project, benchmarks=("finetune",))
    assert [run.method for run in plan.runs] == ["pretrained", *DEFAULT_METHODS]
    assert plan.runs[0].command() == [
        "run",
        "--env=finetune",
        "--pipelines=sample_pretrained,evaluate_pretrained",
        "--params=seed:0",
    ]


def test_the_default_benchmark_needs_no_env():
    assert kedro_run("digits_even", ["report"], {}) == ["run", "--pipelines=report"]


def test_a_command_is_read_back_as_the_parameters_it_was_made_of():
    given = {
        "seed": 3,
        "pretrained": None,
        "data": {"root": "/d", "download": False, "normal_classes": [1, 3]},
    }
    given["beta"] = 1e-5
    for number, text in enumerate(
        ("/data/set #2", "a, b", "a: b", "123", "null", "it's", "x=y", "~")
    ):
        given["data"][f"text_{number}"] = text
    *_, option = kedro_run("test", ["train_pu"], given)
    assert flat(parse_params(option.removeprefix("--params="))) == flat(given)
    assert nested(flat(given)) == given


def test_steps_of_a_users_own_images_need_no_counts(project):
    (run,) = plan_of(project, methods=("unsupervised",)).runs
    usual = run.configured.parameters
    folder = usual.data.model_copy(update={"counts": None})
    assert timing._num_steps(usual.model_copy(update={"data": folder})) == usual.training.num_steps


def test_time_is_estimated_from_steps_and_samples(project):
    few, many = (
        sum(estimate_seconds(plan_of(project, set={"training.num_steps": (steps,)}).tasks).values())
        for steps in (10, 10_000)
    )
    assert 0 < few < many
    assert many > 50 * few


def test_a_step_of_a_conditional_model_is_timed(project, tmp_path):
    tiny_training.model(num_conditions=10).save_pretrained(tmp_path / "model")
    (run,) = plan_of(
        project,
        methods=("unsupervised",),
        params={
            "pretrained": str(tmp_path / "model"),
            "data.num_conditions": 10,
            "noise.num_train_timesteps": 50,
            "noise.schedule": "linear",
        },
    ).runs
    assert min(timing.step_of_a_run(run.configured.parameters)) > 0


def test_the_estimate_counts_both_networks_and_what_a_filter_drops(project, monkeypatch):
    monkeypatch.setattr(timing, "step_of_a_run", lambda parameters: (1.0, 0.01))
    timing._time.cache_clear()
    plan = plan_of(project, methods=("unsupervised", "pu", "pu_guided", "pu_filtered"))
    estimated = estimate_seconds(plan.tasks)
    timing._time.cache_clear()
    seconds = {task.run.method: estimated[task.name] for task in plan.tasks if task.run}
    sampling = 0.01 * 24 * 3  # of the test benchmark
    assert seconds["unsupervised"] == pytest.approx(sampling)  # pu_guided shares its training
    assert seconds["pu_guided"] == pytest.approx(2 * sampling)
    assert seconds["pu_filtered"] == pytest.approx(sampling / 0.9)
    assert sum(estimated.values()) == pytest.approx(12 + sum(seconds.values()))
