"""The table of bad inputs: what is prepared, what is typed, what the message must say."""

import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

LOCAL = "conf/local/parameters.yml"
CATALOG = "conf/local/catalog.yml"
LONG = "x" * 300


class Row(NamedTuple):
    """A bad input.

    Attributes:
        name: what is wrong.
        command: what is typed after `kedro`.
        words: what the message must hold, among others.
        prepare: changes the copy of the project.
    """

    name: str
    command: Sequence[str]
    words: Sequence[str]
    prepare: Callable[[Path], object] = lambda project: None


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Write a file of the project."""
    data = content.encode() if isinstance(content, str) else content

    def prepare(project: Path) -> None:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(data)

    return prepare


def folder(name: str) -> Callable[[Path], object]:
    """Make a folder of the project."""
    return lambda project: (project / name).mkdir(parents=True)


def dangling(name: str) -> Callable[[Path], object]:
    """Make a link that leads nowhere."""
    return lambda project: (project / name).symlink_to(project / "nowhere")


def locked(name: str, mode: int, content: str = "seed: 1\n") -> Callable[[Path], object]:
    """Write a file, or take what is there if there is no content, and set its mode."""

    def prepare(project: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read and write everything")
        if content:
            write(name, content)(project)
        (project / name).chmod(mode)

    return prepare


def bomb(levels: int = 9) -> str:
    """Ten aliases of ten aliases of ...: some hundred bytes that stand for 10^levels numbers."""
    lines = ["a0: &a0 [1]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines) + "\n"


# --- parameter files: the content of conf/local/parameters.yml, and what the message must say ----

YAML = [
    ("tab as indentation", "data:\n\troot: x\n", ["line 2", "\\t"]),
    ("key given twice", "seed: 1\nseed: 2\n", ["seed", "line 2"]),
    ("list at the top", "- seed: 1\n", ["a mapping", "list"]),
    ("scalar at the top", "hello\n", ["hello: unknown parameter"]),
    ("number at the top", "3\n", ["a mapping", "3"]),
    ("not UTF-8", "beta: 0.1 # caf\xe9\n".encode("latin-1"), ["UTF-8"]),
    ("UTF-16", "beta: 0.1\n".encode("utf-16"), ["UTF-8"]),
    ("NUL byte", b"beta: 0.1\n\x00\n", ["line 2", "\\x00"]),
    ("NUL bytes only", b"\x00" * 512, ["\\x00"]),
    ("tag of a Python object", "beta: !!python/object/apply:os.getcwd []\n", ["!!python", "tag"]),
    ("tag of one's own", "beta: !mine 3\n", ["!mine", "tag"]),
    ("anchor that is not there", "beta: *b\n", ["alias", "beta: *b"]),
    ("two documents", "beta: 0.2\n---\nbeta: 0.3\n", ["document", "line 2"]),
    ("bracket that is not closed", "data: {root: x\n", ["line 2", "'}'"]),
    ("quote that is not closed", 'data:\n  root: "x\n', ["line 3", "end of"]),
    ("colon that is missing", "beta 0.3\nseed: 1\n", ["line"]),
    (
        "merge conflict",
        "<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> b\n",
        ["line 2", "seed: 1"],
    ),
    ("interpolation of nothing", "beta: ${nowhere.at_all}\n", ["nowhere.at_all", "beta"]),
    (
        "interpolation of the environment",
        "data:\n  root: ${oc.env:HOME}\n",
        ["oc.env", "data.root"],
    ),
    ("interpolation that is not closed", "data:\n  root: ${seed\n", ["${seed"]),
    ("interpolation of itself", "beta: ${beta}\n", ["beta"]),
    ("no value given (???)", "beta: ???\n", ["beta"]),
    ("10,000 levels", "data: " + "[" * 10_000 + "]" * 10_000 + "\n", ["nested"]),
    ("10,000 levels of mappings", "data: " + "{a: " * 10_000 + "1" + "}" * 10_000, ["nested"]),
    ("alias bomb", bomb(), ["alias"]),
    ("alias of itself", "data: &a {root: *a}\n", ["alias"]),
    ("a number as key", "1: 2\n", ["1", "Keys should be strings"]),
    ("null as key", "? \n: 2\n", ["key"]),
    ("a list as key", "? [1, 2]\n: 2\n", ["key"]),
    ("null for a section", "training: null\n", ["training"]),
    ("a list for a section", "training: [1]\n", ["conf/local", "parameters"]),
    ("a text for a section", "training: fast\n", ["training", "'fast'"]),
    ("unknown key", "betta: 0.1\n", ["betta", "did you mean beta?"]),
    ("control character", "data:\n  root: \x07\n", ["\\x07"]),
    ("include that is no list", "include: paper\n", ["include", "'paper'"]),
    ("include of nothing", "include: [papre]\n", ["include", "did you mean paper?"]),
    ("include of another folder", "include: [../base/parameters]\n", ["include", "one of"]),
    ("include of a section", "include: [{a: 1}]\n", ["include", "one of"]),
    ("date for a number", "seed: 2024-01-01\n", ["seed"]),
    ("every key unknown", "".join(f"k{n}: 1\n" for n in range(500)), ["k0", "more"]),
    ("key of 10,000 letters", "k" * 10_000 + ": 1\n", ["line 1"]),
]

CSV = "pu_diffusion_pipeline.datasets.files.CSVDataset"


def judge(filepath: str = "data/x", **more: object) -> str:
    """A catalog whose one entry replaces the judge's."""
    return json.dumps({"judge": {"type": CSV, "filepath": filepath, **more}})


CATALOGS = [
    ("entry of an unknown type", judge(type="no.such.Dataset"), ["judge", "no.such.Dataset"]),
    ("entry without a type", "judge: {filepath: data/x}\n", ["judge", "type"]),
    ("entry with an unknown key", judge(colour="red"), ["judge", "colour"]),
    ("entry without a filepath", f"judge: {{type: {CSV}}}\n", ["judge", "filepath"]),
    ("entry that is a text", "judge: hello\n", ["judge", "hello"]),
    ("entry that is null", "judge: null\n", ["judge"]),
    ("filepath that is a number", judge(filepath=3), ["judge", "filepath"]),
    ("type that is a number", judge(type=3), ["judge"]),
    ("type that is no data set", judge(type="pathlib.Path"), ["judge", "pathlib.Path"]),
    ("type that is empty", judge(type=""), ["judge", "''"]),
    ("unknown stage", judge("data/<run:nope>/x"), ["judge", "nope"]),
    ("unknown method", judge("data/<run:model,nope>/x"), ["judge", "nope"]),
    ("metadata that is a text", judge("<run:judge>/x", metadata="hello"), ["judge", "metadata"]),
    ("catalog that is a list", "- judge\n", ["a mapping", "catalog.yml"]),
    ("catalog with a tab", "judge:\n\ttype: x\n", ["catalog.yml", "line 2"]),
    ("catalog with a key twice", "a: {filepath: a}\na: {filepath: b}\n", ["catalog.yml", "key a"]),
    ("catalog that is not UTF-8", b"# \xe9\n", ["catalog.yml", "UTF-8"]),
    ("alias bomb in a catalog", bomb(), ["catalog.yml", "alias"]),
    ("interpolation in a catalog", judge("${nope}"), ["nope", "judge"]),
]

PARAMS = [
    ("unknown key", "betta:0.15", ["did you mean beta?"]),
    ("unknown key of a section", "training.num_stepz:3", ["did you mean training.num_steps?"]),
    ("no value", "beta:", ["beta:null"]),
    ("no separator", "beta", ["key:value"]),
    ("no key", ":3", ["empty key"]),
    ("double dot", "training..num_steps:3", ["empty key"]),
    ("text for a number", "training.num_steps:many", ["training.num_steps", "'many'"]),
    ("fraction for a count", "training.num_steps:1.5", ["training.num_steps", "1.5"]),
    ("zero steps", "training.num_steps:0", ["training.num_steps"]),
    ("negative steps", "training.num_steps:-3", ["training.num_steps", "-3"]),
    ("NaN", "training.learning_rate:.nan", ["training.learning_rate", "nan"]),
    ("infinity", "training.learning_rate:.inf", ["training.learning_rate", "inf"]),
    ("beta NaN", "beta:.nan", ["beta", "[0, 1)"]),
    ("beta above 1", "beta:2", ["beta", "[0, 1)", "2"]),
    ("beta 1", "beta:1", ["beta", "[0, 1)", "1"]),
    ("beta below 0", "beta:-1", ["beta", "[0, 1)", "-1"]),
    ("beta null", "beta:null", ["beta", "[0, 1)"]),
    ("beta in Arabic digits", "beta:٠.١", ["beta", "[0, 1)"]),
    ("seed in Arabic digits", "seed:٣", ["seed", "'٣'"]),
    ("seed as superscript", "seed:²", ["seed", "'²'"]),
    ("seed true", "seed:true", ["seed", "true or false"]),
    ("seed a fraction", "seed:1.5", ["seed", "1.5"]),
    ("seed too large", "seed:4294967296", ["seed", "4294967296"]),
    ("seed of 5,000 digits", "seed:" + "9" * 5000, ["seed"]),
    ("steps of 30 digits", "training.num_steps:" + "9" * 30, ["training.num_steps"]),
    ("key given twice", "seed:1,seed:2", ["seed", "twice"]),
    ("key and section", "training.num_steps:1,training:3", ["training", "twice"]),
    ("section and key", "training:3,training.num_steps:1", ["training", "twice"]),
    ("a number for a section", "training:3", ["training", "3"]),
    ("null for a section", "training:null", ["training"]),
    ("a section for a number", "seed.x:3", ["seed"]),
    ("bracket that is not closed", "data.normal_classes:[1,2", ["unbalanced"]),
    ("bracket that is not open", "data.normal_classes:1]", ["unbalanced"]),
    ("brackets that do not match", "data.normal_classes:[1}", ["unbalanced"]),
    ("brackets the wrong way round", "data.normal_classes:]1[", ["unbalanced"]),
    ("quote that is not closed", 'data.root:"x', ["unbalanced"]),
    ("tab and bracket", "data.root:{a\t:[", ["unbalanced"]),
    ("tag of Python", "beta:!!python/name:os.getcwd", ["!!python"]),
    ("interpolation", "beta:${nope}", ["nope", "beta"]),
    ("interpolation of the environment", "data.root:${oc.env:HOME}", ["oc.env"]),
    ("index of a list", "data.normal_classes[0]:3", ["data.normal_classes"]),
    ("number as a key", "1:2", ["'1' is no parameter"]),
    ("a value of 20,000 letters", "compute.device:" + "x" * 20_000, ["compute.device"]),
    ("a key of 20,000 letters", "x" * 20_000 + ":1", ["unknown"]),
    ("a key of 2,000 parts", ".".join("x" * 2000) + ":1", ["is no parameter"]),
    ("a key of 15 parts", ".".join("x" * 15) + ":1", ["x: unknown parameter"]),
    ("brackets 5,000 deep", "data.root:" + "[" * 5000 + "]" * 5000, ["nested"]),
    ("brackets 15 deep", "data.root:" + "[" * 15 + "]" * 15, ["data.root"]),
    ("number of 5,000 hexadecimal digits", "seed:0x" + "f" * 5000, ["seed", "4294967296"]),
    ("such a number in a list", "data.normal_classes:[0x" + "f" * 5000 + "]", ["4294967296"]),
    ("no value given (???)", "beta:???", ["no value"]),
    ("empty", "", ["--params", "empty"]),
    ("comma only", ",", ["--params"]),
    ("benchmark of 300 letters", "benchmark:" + LONG, ["benchmark", "100"]),
    ("benchmark with a slash", "benchmark:a/b", ["benchmark", "a/b"]),
    ("benchmark that leaves the folder", "benchmark:..", ["benchmark", ".."]),
    ("benchmark empty", "benchmark:''", ["benchmark"]),
    ("benchmark with a line break", 'benchmark:"a\\n"', ["benchmark"]),
    ("unknown name of a registry", "sampling.sampler:dpn", ["sampling.sampler", "ddpm"]),
    ("control character", "data.root:\x07", ["data.root"]),
    ("batch and processes", "training.num_processes:99", ["divide batch_size (128)"]),
    (
        "no process that samples",
        "sampling.num_processes:0",
        ["sampling.num_processes", "equal to 1"],
    ),
    ("guiding never", "guiding.timesteps:[1000,2000]", ["guiding.timesteps", "must begin below"]),
    ("relearning cut", "relearning.every:30", ["relearning", "every must divide num_steps"]),
    ("guiding reversed", "guiding.timesteps:[400,100]", ["guiding", "first < end"]),
    ("filter that drops all", "filtering.share:1", ["filtering.share", "less than 1"]),
    ("cleaning that drops all", "cleaning.probability:0", ["cleaning.probability"]),
    ("muon of no length", "training.muon_learning_rate:0", ["training.muon_learning_rate"]),
]

OPTIONS = [
    ("unknown node", "--nodes=nope", ["nope"]),
    ("node misspelled", "--nodes=train_pv", ["train_pv"]),
    ("unknown first node", "--from-nodes=nope", ["nope"]),
    ("unknown last node", "--to-nodes=nope", ["nope"]),
    ("unknown input", "--from-inputs=nope", ["nope"]),
    ("unknown output", "--to-outputs=nope", ["nope"]),
    ("unknown tag", "--tags=nope", ["no nodes", "--tags"]),
    ("unknown namespace", "--namespaces=nope", ["nope"]),
    ("unknown pipeline", "--pipeline=train_pv", ["Did you mean train_pu?"]),
    ("empty pipeline", "--pipeline=", ["--pipeline"]),
    ("one unknown of several", "--pipelines=train_pu,nope", ["nope"]),
    ("both options of a pipeline", "--pipeline=train --pipelines=train", ["--pipelines"]),
    ("unknown benchmark", "--env=mnist_evn", ["'mnist_evn'", "mnist_even"]),
    ("empty benchmark", "--env=", ["--env", "empty"]),
    ("benchmark of a space", "--env=' '", ["--env", "empty"]),
    ("folder above", "--env=../x", ["--env", "../x"]),
    ("folder above that is there", "--env=../conf/test", ["--env", "../conf/test"]),
    ("the project as benchmark", "--env=..", ["--env", "'..'"]),
    ("slash in the benchmark", "--env=a/b", ["--env", "a/b"]),
    ("slash after the benchmark", "--env=test/", ["--env", "test/"]),
    ("benchmark of 300 letters", f"--env={LONG}", ["--env"]),
    ("base as benchmark", "--env=base", ["--env", "base"]),
    ("shared as benchmark", "--env=shared", ["--env", "shared"]),
    ("folder of no configuration", "--conf-source=/nonexistent", ["/nonexistent"]),
    ("file as configuration", "--conf-source=pyproject.toml", ["--conf-source", "pyproject.toml"]),
    ("folder without configuration", "--conf-source=src", ["--conf-source", "src"]),
    ("unknown runner", "--runner=NoSuch", ["--runner", "NoSuch"]),
    ("runner of an unknown module", "--runner=no.such.Runner", ["--runner", "no.such.Runner"]),
    ("runner of threads", "--runner=ThreadRunner", ["--runner", "one after another"]),
    ("runner of processes", "--runner=ParallelRunner", ["--runner", "one after another"]),
    ("runner that is none", "--runner=pathlib.Path", ["--runner", "pathlib.Path"]),
    ("unreadable runner params", "--runner-params=a", ["runner"]),
    ("unknown runner params", "--runner-params=a=1", ["runner", "a"]),
    ("damaged runner params", "--runner-params=a=[", ["runner"]),
    ("unreadable version", "--load-versions=nonsense", ["nonsense"]),
    ("version of nothing", "--load-versions=nope:2020-01-01T00.00.00.000Z", ["--load-versions"]),
    (
        "version of a file",
        "--load-versions=judge:2020-01-01T00.00.00.000Z",
        ["--load-versions"],
    ),
    ("version that leaves the folder", "--load-versions=judge:../x", ["../x"]),
    ("missing file of options", "--config=nowhere.yml", ["nowhere.yml"]),
    ("unknown option", "--paramz=a:1", ["--paramz"]),
    ("argument that is none", "train_pu", ["train_pu"]),
    (
        "missing pre-trained model",
        "--pipeline=evaluate_pu",
        ["not there yet", "--pipeline=sample_pu"],
    ),
]

CONFIGS = [
    ("damaged", "run:\n\tenv: test\n", ["options.yml", "line 2"]),
    ("empty", "", ["options.yml", "run"]),
    ("without the section", "walk: {env: test}\n", ["options.yml", "run"]),
    ("a list", "- run\n", ["options.yml", "list"]),
    ("section that is a text", "run: fast\n", ["options.yml", "run"]),
    ("unknown option", "run: {paramz: 1}\n", ["paramz"]),
    ("not UTF-8", b"# \xe9\n", ["options.yml", "UTF-8"]),
    ("params that are a number", "run: {params: 3}\n", ["--params"]),
    ("params that are wrong", "run: {params: {beta: 2}}\n", ["beta", "[0, 1)"]),
    ("env that is a list", "run: {env: [test]}\n", ["--env"]),
]

REPRODUCE = [
    ("unknown table", "table9", ["table9", "table2"]),
    ("no table", "", ["TARGET"]),
    ("empty table", "''", ["TARGET", "empty"]),
    ("seeds without end", "table2 --seeds=0-99999999999", ["--seeds"]),
    ("seeds that are many", "table2 --seeds=0-100000", ["--seeds"]),
    ("seed too large", "table2 --seeds=4294967296", ["--seeds"]),
    ("superscript", "table2 --seeds=²", ["--seeds", "²"]),
    ("Arabic digit", "table2 --seeds=٣", ["--seeds"]),
    ("seed of 5,000 digits", "table2 --seeds=" + "9" * 5000, ["--seeds"]),
    ("seeds backwards", "table2 --seeds=5-1", ["--seeds", "5-1"]),
    ("partly backwards", "table2 --seeds=0,5-1", ["--seeds", "5-1"]),
    ("negative seed", "table2 --seeds=-1", ["--seeds", "-1"]),
    ("letter as seed", "table2 --seeds=a", ["--seeds", "a"]),
    ("no seed", "table2 --seeds=", ["--seeds"]),
    ("seed twice", "table2 --seeds=1,1", ["--seeds", "twice"]),
    ("letter as beta", "figure4 --betas=x", ["--betas", "x"]),
    ("beta of 2", "figure4 --betas=2", ["--betas", "2"]),
    ("beta NaN", "figure4 --betas=nan", ["--betas", "nan"]),
    ("beta twice", "figure4 --betas=0.1,0.10", ["--betas", "twice"]),
    ("betas for a table", "table2 --betas=0.1", ["--betas", "figure4"]),
    ("unknown row", "table2 --rows=nope", ["--rows", "nope"]),
    ("row of 300 letters", f"table2 --rows={LONG}", ["--rows"]),
    ("row that leaves the folder", "table2 --rows=../conf/test", ["--rows"]),
    ("row twice", "table2 --rows=test,test", ["--rows", "twice"]),
    ("no row", "table2 --rows=,", ["--rows"]),
    ("row without a small form", "table2 --rows=stl10_animals --small", ["--small"]),
    ("params of another option", "table2 --params=seed:3", ["--seeds"]),
    ("unknown params", "table2 --rows=test --params=betta:3", ["betta", "unknown"]),
    ("unreadable params", "table2 --params=x", ["key:value"]),
    ("unknown option", "table2 --sedes=3", ["--sedes"]),
]


CATALOG_OF_TEST = "conf/test/catalog.yml"
EVEN = "run --env=mnist_even"
MINE = "run --env=mine"
EVEN_FILE = "conf/mnist_even/parameters.yml"
INTERPOLATED = "benchmark: mnist_even\ninclude: [paper]\nbeta: ${nope}\n"
PAPER = "conf/shared/paper.yml"
REDO = "reproduce table2 --rows=test"


def both_files(project: Path) -> None:
    """Write two files that give the seed."""
    for name in ("parameters.yml", "parameters_b.yml"):
        write(f"conf/local/{name}", "seed: 1\n")(project)


def no_configuration(project: Path) -> None:
    """Take the configuration away."""
    (project / "conf").rename(project / "other")


TWO = ["parameters.yml", "parameters_b.yml", "seed"]
PROJECTS = [
    ("empty file of base", "run", ["seed", "more"], write("conf/base/parameters.yml", "")),
    ("folder for a file", MINE, ["mine", "parameters.yml"], folder("conf/mine/parameters.yml")),
    ("misnamed file", MINE, ["mine", "params.yml"], write("conf/mine/params.yml", "seed: 1")),
    ("misnamed ending", MINE, ["parameters.ymll"], write("conf/mine/parameters.ymll", "seed: 1")),
    ("file for a folder", MINE, ["mine"], write("conf/mine", "seed: 1")),
    ("empty file", MINE, ["benchmark must be 'mine'"], write("conf/mine/parameters.yml", "")),
    ("link to nowhere", MINE, ["mine"], dangling("conf/mine")),
    ("damaged shared file", EVEN, [PAPER, "line 2"], write(PAPER, "a: [\n")),
    ("list as a shared file", EVEN, [PAPER, "mapping"], write(PAPER, "- a\n")),
    ("bomb in a shared file", EVEN, [PAPER, "alias"], write(PAPER, bomb())),
    ("section of a shared file", EVEN, ["conf/mnist_even", "fit"], write(PAPER, "training: [1]\n")),
    ("two files with one key", "run", TWO, both_files),
    ("reproduce, damaged file", REDO, ["line 2"], write("conf/test/parameters.yml", "a:\n\tb: 2")),
    ("reproduce, damaged catalog", REDO, ["judge"], write(CATALOG_OF_TEST, "judge: 3\n")),
    ("reproduce, no configuration", REDO, ["no configuration"], no_configuration),
    ("run, no configuration", "run", ["no configuration"], no_configuration),
    ("data is a file", "run --env=test", ["data", "Not a directory"], write("data", "x")),
    ("interpolation beside include", EVEN, ["nope", "beta"], write(EVEN_FILE, INTERPOLATED)),
    ("unreadable file", "run", [LOCAL, "Permission"], locked(LOCAL, 0)),
    ("read-only project", "run --env=test", ["cannot be written"], locked(".", 0o500, "")),
]


ROWS = [
    *[Row(f"file: {name}", ["run"], words, write(LOCAL, text)) for name, text, words in YAML],
    *[
        Row(f"catalog: {name}", ["run"], words, write(CATALOG, text))
        for name, text, words in CATALOGS
    ],
    *[Row(f"--params: {name}", ["run", f"--params={text}"], words) for name, text, words in PARAMS],
    *[Row(f"option: {name}", ["run", *shlex.split(text)], words) for name, text, words in OPTIONS],
    *[
        Row(f"--config: {name}", ["run", "--config=options.yml"], words, write("options.yml", text))
        for name, text, words in CONFIGS
    ],
    *[
        Row(f"reproduce: {name}", ["reproduce", *shlex.split(text)], words)
        for name, text, words in REPRODUCE
    ],
    *[
        Row(f"project: {name}", shlex.split(text), words, prepare)
        for name, text, words, prepare in PROJECTS
    ],
]
