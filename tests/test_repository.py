"""What holds for the repository as a whole: lock files, the wheel, sizes, nothing of one machine in it."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.files import globbed

PACKAGES = ("hooks", "rules", "service")
LOCKS = ("run", "build", "traces", "dev")
EXTRAS = {"service/traces.py": "opentelemetry"}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

# In two halves, so that this file does not hold what it looks for.
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "debian" + ".org", "golang" + ".org")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + r"me/\w+")) + ")/")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> tuple[Path, ...]:
    """Files that are, or would be, committed; relative to the root."""
    if not (repository / ".git").exists():
        pytest.skip("needs a git checkout, and this is an unpacked archive")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=repository, capture_output=True, check=True)
    paths = (Path(name) for name in done.stdout.decode().split("\0") if name)
    found = tuple(path for path in paths if (repository / path).is_file())
    assert found
    return found


@pytest.fixture(scope="module")
def project(repository: Path) -> Mapping[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))


def pins(text: str) -> Iterator[tuple[str, str, int]]:
    """(normalised name, version, number of hashes) of every requirement of a lock file.

    Raises ValueError for a line that is anything but a pin, a hash or a comment.
    """
    statements = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^\s*#.*$", "", text)).split("\n")
    for statement in filter(None, map(str.strip, statements)):
        pin, *options = statement.split()
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", pin)
        if match is None or not all(
            re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options
        ):
            raise ValueError(f"not a pin with hashes: {pin}")
        yield canonicalize_name(match[1]), match[2], len(options)


def locked(repository: Path, name: str) -> dict[str, str]:
    text = (repository / f"requirements/{name}.txt").read_text("ascii")
    return {package: version for package, version, _ in pins(text)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(repository: Path, name: str) -> None:
    found = list(pins((repository / f"requirements/{name}.txt").read_text("ascii")))
    assert found
    assert [package for package, _, hashes in found if not hashes] == []


@pytest.mark.parametrize("line", ["--index-url https://example.org", "a>=1", "-e .", "a==1 --hash=md5:00"])
def test_anything_but_a_pin_in_a_lock_file_is_found(line: str) -> None:
    with pytest.raises(ValueError, match="not a pin"):
        list(pins(f"# comment\n{line}\n"))


def test_lock_files_agree_where_they_overlap(repository: Path) -> None:
    run, build, traces, dev = (locked(repository, name) for name in LOCKS)
    assert {name: dev[name] for name in run} == run
    assert {name: traces[name] for name in run} == run
    assert {name: dev[name] for name in traces} == traces
    assert {name: dev.get(name, version) for name, version in build.items()} == build


def needed(wanted: list[Requirement], environment: dict[str, str]) -> set[str]:
    """Names of everything that `wanted` pulls in under `environment`, by the installed packages' metadata."""
    found: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        entry = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if entry in found:
            continue
        found.add(entry)
        for line in requires(requirement.name) or ():
            child = Requirement(line)
            extras = requirement.extras or {""}
            marker = child.marker
            if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in extras):
                wanted.append(child)
    return {name for name, _ in found}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_locks_are_complete_on_every_python_and_machine(
    repository: Path, project: Mapping[str, Any], python: str, machine: str
) -> None:
    environment = {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
    }
    run = [Requirement(line) for line in project["project"]["dependencies"]]
    dev = [Requirement(line) for line in project["project"]["optional-dependencies"]["dev"]]
    assert needed(list(run), environment) - locked(repository, "run").keys() == set()
    assert needed(run + dev, environment) - locked(repository, "dev").keys() == set()


def test_the_locks_hold_versions_the_project_allows(repository: Path, project: Mapping[str, Any]) -> None:
    dev = locked(repository, "dev")
    metadata = project["project"]
    lines = metadata["dependencies"] + metadata["optional-dependencies"]["dev"]
    wrong = [
        line
        for line in lines
        if dev[canonicalize_name(Requirement(line).name)] not in Requirement(line).specifier
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_imported_is_a_dependency_of_its_own(
    repository: Path, project: Mapping[str, Any], package: str
) -> None:
    declared = {canonicalize_name(Requirement(line).name) for line in project["project"]["dependencies"]}
    homes = packages_distributions()
    missing = set()
    for path in globbed(repository / package, "**/*.py"):
        # The one module that needs the extra of its name.
        extra = EXTRAS.get(path.relative_to(repository).as_posix())
        for module in imported_modules(ast.parse(path.read_text("utf-8"))):
            top = module.partition(".")[0]
            if extra is not None and top == extra:
                continue
            if top in sys.stdlib_module_names or top in PACKAGES:
                continue
            if not declared & {canonicalize_name(name) for name in homes.get(top, [top])}:
                missing.add(f"{path.relative_to(repository)} imports {module}")
    assert missing == set()


def imported_modules(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_no_file_names_a_registry_or_a_place_on_one_machine(
    repository: Path, tracked: tuple[Path, ...]
) -> None:
    found = []
    for path in tracked:
        text = (repository / path).read_text("utf-8", errors="replace")
        if MACHINE_PATH.search(text) or any(host in text for host in HOSTS):
            found.append(str(path))
    assert found == []


def test_modules_and_functions_stay_small(repository: Path) -> None:
    large = []
    for package in (*PACKAGES, "tests"):
        for path in globbed(repository / package, "**/*.py"):
            source = path.read_text("utf-8")
            name = path.relative_to(repository)
            if source.count("\n") > LONGEST_MODULE and package != "tests":
                large.append(f"{name} has {source.count(chr(10))} lines")
            large += [
                f"{name}:{node.lineno} {node.name} is too long"
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
            ]
    assert large == []


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=repository, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_data_file(wheel: Path, tracked: tuple[Path, ...]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == {path.as_posix() for path in tracked if path.parts[0] in PACKAGES}
    licences = {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    command = [sys.executable, "-c", "import service.cli as c; print(c.__file__); c.main(['version'])"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    place, said = done.stdout.splitlines()
    assert place.startswith(str(tmp_path))
    assert re.fullmatch(r"tocsin \d+\.\d+\.\d+, rules \d+\.\d+\.\d+, Python 3\.\d+\.\d+", said)
