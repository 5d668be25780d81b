"""The rooms of the house: who may import whom, what must stay lazy, and what no source may call."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from games import compiled
from games.archives.cache import READERS

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("train", "play", "tournament")

# What each package may import beside the standard library and itself.
ALLOWED = {
    "games": {"numpy", "numba", "gymnasium", "ale_py", "sgfmill"},
    "nets": {"numpy", "safetensors", "torch"},
    "agents": {
        "games",
        "nets",
        "docstring_parser",
        "numpy",
        "numba",
        "llvmlite",
        "rich",
        "safetensors",
        "torch",
        "tyro",
    },
}
# What one file may import beside that, packages or modules of the project, and why.
ALSO_ALLOWED = {
    # Kernels have one cache, and the module that opens it knows no game.
    "nets/winograd_kernels.py": {"games.compiled"},
    "nets/winograd_gradients.py": {"games.compiled"},
    "nets/direct_kernels.py": {"games.compiled", "numba"},  # the same
    "nets/matrix_kernels.py": {"llvmlite", "numba"},  # registers and vectors, which numba's loops cannot name
    "nets/model_file.py": {"games.durable", "games.refusal"},  # a file is written whole or not at all in one way
    # One kind of error is told in a line.
    "nets/spec.py": {"games.refusal"},
    "nets/precision.py": {"games.refusal"},
    "nets/regulariser_config.py": {"games.refusal"},
    "nets/inference.py": {"games.refusal"},
    "nets/explain.py": {"games.refusal"},
    "nets/engines.py": {"onnxruntime", "openvino"},  # optional: more runtimes
    "games/aec.py": {"pettingzoo"},  # optional: the second face of the environments
    "games/endgame/__main__.py": {"rich"},  # a command of its own: progress and a table
    "agents/run.py": {"tensorboard"},  # optional: events beside the metrics
    "agents/atari/video.py": {"imageio_ffmpeg"},  # optional: videos of Atari games
}
# Searches and the evolution loop run without torch, so that their processes start at once.
TORCH_FREE = ("agents/alphabeta.py", "agents/mcts/search.py", "agents/mcts/rollouts.py", "agents/evolution/evolve.py")


@dataclass(frozen=True)
class Import:
    path: str  # of the importing file, from the root
    line: int
    module: str  # "games.rules", as written, or with the imported name where that is a module of the project
    at_top: bool  # runs when the file is imported

    @property
    def package(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def sources() -> list[Path]:
    folders = [path for name in ALLOWED for path in (ROOT / name).rglob("*.py")]
    return sorted(folders) + sorted(ROOT.glob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(path: Path) -> Iterator[Import]:
    """Yield every import of a file; those under `if TYPE_CHECKING` never run and are left out."""

    def visit(node: ast.AST, at_top: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name_of(path), node.lineno, alias.name, at_top)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} is a relative import"
            for module in sorted(
                {f"{node.module}.{a.name}" for a in node.names if is_module(f"{node.module}.{a.name}")}
            ):
                yield Import(name_of(path), node.lineno, module, at_top)
            yield Import(name_of(path), node.lineno, node.module or "", at_top)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_top and not is_function)

    return visit(ast.parse(path.read_text()), True)


def all_imports() -> list[Import]:
    return [found for path in sources() for found in imports(path)]


def test_imports_point_one_way() -> None:
    wrong = []
    for found in all_imports():
        home = found.path.split("/")[0]
        if home in ALLOWED:
            allowed = ALLOWED[home] | ALSO_ALLOWED.get(found.path, set()) | set(sys.stdlib_module_names) | {home}
            if not {found.package, found.module} & allowed:
                wrong.append(str(found))
    assert not wrong


def test_nobody_imports_a_script() -> None:
    assert not [str(found) for found in all_imports() if found.package in SCRIPTS]


def test_modules_of_the_project_import_each_other_in_no_circle() -> None:
    """Imports that run at import time; a package's __init__ counts as the package."""
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        importer = found.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if found.at_top and is_module(found.module):
            graph.setdefault(importer, set()).add(found.module)
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "circle: " + " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for imported in sorted(graph.get(module, ())):
                walk(imported, (*path, module))
            done.add(module)

    for module in sorted(graph):
        walk(module, ())


def test_torch_is_out_of_reach_of_the_searches_and_of_everything_they_import() -> None:
    """What runs when these are imported, through any number of project modules."""
    top = {path: [found for found in imports(ROOT / path) if found.at_top] for path in map(name_of, sources())}
    for start in TORCH_FREE:
        for path in reached_from([start], top):
            for found in top[path]:
                assert found.package != "torch", f"{start} reaches torch: {found}"


def reached_from(starts: list[str], imported: dict[str, list[Import]]) -> set[str]:
    """Return the project's files that these import, through any number of others, and these themselves."""
    seen, waiting = set(), list(starts)
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for found in imported[path]:
            stem = found.module.replace(".", "/")
            reached = {f"{stem}.py", f"{stem}/__init__.py", f"{found.package}/__init__.py"} & set(imported)
            waiting.extend(reached - seen)
    return seen


def test_nothing_from_outside_can_be_executed() -> None:
    """No source unpickles, evaluates, or goes through a shell."""
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    calls = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "torch.load"}
    wrong = [str(found) for found in all_imports() if found.package in modules]
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                where = f"{name_of(path)}:{node.lineno}"
                if ast.unparse(node.func) in calls:
                    wrong.append(f"{where} calls {ast.unparse(node.func)}")
                options = {keyword.arg for keyword in node.keywords if ast.unparse(keyword.value) != "False"}
                wrong.extend(f"{where} passes {option}" for option in options & {"shell", "allow_pickle"})
    assert not wrong


def test_kernels_take_numbers_and_functions_only_from_sources_that_the_cache_watches() -> None:
    """numba freezes a module's numbers into the machine code: their file must count for the cache folder's name."""
    watched = {name_of(path) for path in compiled.kernel_sources(ROOT)}
    wrong = []
    for path in sources():
        tree = ast.parse(path.read_text())
        origins = imported_names(tree)
        for kernel in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and is_kernel(node)):
            assert name_of(path) in watched, f"{name_of(path)} declares a kernel unwatched"
            names = {node.id for node in ast.walk(kernel) if isinstance(node, ast.Name)}
            unwatched = sorted(name for name in names & origins.keys() if origins[name] not in watched)
            wrong.extend(f"{name_of(path)} {kernel.name} uses {name} of {origins[name]}" for name in unwatched)
    assert not wrong


def is_kernel(function: ast.FunctionDef) -> bool:
    return any("njit" in ast.unparse(decorator) for decorator in function.decorator_list)


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Map the names that a file takes from the project's modules, and modules' aliases, to the files they come from."""
    origins = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                module = inner if is_module(inner) else node.module
                if is_module(module):
                    path = ROOT.joinpath(*module.split("."))
                    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
                    origins[alias.asname or alias.name] = name_of(file)
    return origins


def test_the_cache_of_records_watches_the_sources_that_read_them() -> None:
    """All that reading reaches is watched, except what decides nothing of a game that is read; and nothing else is."""
    names = ("__init__", "compiled", "durable", "refusal", "machine", "child_processes", "go_scoring")
    irrelevant = {f"games/{name}.py" for name in names}
    imported = {path: list(imports(ROOT / path)) for path in map(name_of, sources())}
    read_by = reached_from(["games/archives/__init__.py", "games/archives/__main__.py"], imported)
    watched = {name_of(path) for pattern in READERS for path in (ROOT / "games").glob(pattern)}
    assert read_by - irrelevant == watched


# --- what must stay lazy ----------------------------------------------------------------------------------------------


def modules_loaded_by(arguments: list[str]) -> set[str]:
    """Run a script with these arguments and return the modules that it imported."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    "command",
    [
        *("train.py", "train.py evolve", "train.py imitate", "train.py reinforce", "train.py value", "train.py dqn"),
        *("play.py", "tournament.py", "benchmarks/bench.py"),
    ],
)
def test_help_loads_neither_torch_nor_numba(command: str) -> None:
    assert not {"torch", "numba"} & modules_loaded_by([*command.split(), "--help"])


def test_rules_do_not_load_torch() -> None:
    loaded = modules_loaded_by(["-c", "import games.checkers, games.connect_four, games.perft"])
    assert {"games.checkers", "numba"} <= loaded
    assert not loaded & {"torch", "pettingzoo", "rich"}
