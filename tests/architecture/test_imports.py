"""What importing the package costs, and that it may be begun at any module."""

import ast
import os
import subprocess
import sys

import pytest

from tests.architecture.source_tree import ROOT, modules

HEAVY = (
    "OpenSSL",
    "aioquic",
    "asyncio",
    "click",
    "cryptography",
    "dns",
    "fastapi",
    "google",
    "hypothesis",
    "ifaddr",
    "noise",
    "sqlite3",
    "websockets",
)
ON_FIRST_USE = ("OpenSSL", "aioquic", "click", "dns", "hypothesis", "ifaddr", "noise", "sqlite3", "websockets")

# Each module in a process of its own, forked from one that has loaded none of the package.
ONE_BY_ONE = """
import asyncio, cryptography.hazmat.primitives.asymmetric.ed25519, dataclasses, hypothesis, importlib, os, sys, traceback
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit("cannot be imported first: " + ", ".join(failed) if failed else 0)
"""


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints, in which warnings are errors."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_every_module_can_be_the_first_to_be_imported() -> None:
    run(ONE_BY_ONE, *modules())


def loaded_by(statement: str) -> list[str]:
    """The modules that a fresh interpreter has afterwards and had not before: what measures it may have loaded some already."""
    return run(f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))").split()


def test_importing_the_package_loads_none_of_its_libraries() -> None:
    loaded = loaded_by("import cortexnet")
    assert [name for name in HEAVY if name in loaded] == []
    assert [name for name in loaded if name.startswith("cortexnet")] == ["cortexnet", "cortexnet.version"]


def test_importing_the_node_leaves_libraries_for_their_first_use() -> None:
    loaded = loaded_by("from cortexnet import Node")
    assert [name for name in ON_FIRST_USE if name in loaded] == []


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    run(
        "import cortexnet\n"
        "for name in cortexnet.__all__:\n"
        "    assert name == '__version__' or vars(cortexnet).get(name, cortexnet.__getattr__(name)).__doc__, name\n"
        "assert dir(cortexnet) == sorted(cortexnet.__all__)\n"
        "try:\n"
        "    cortexnet.Nonsense\n"
        "except AttributeError as error:\n"
        "    assert 'Nonsense' in str(error)\n"
        "else:\n"
        "    raise AssertionError('there is no such name')"
    )


def test_the_names_that_load_lazily_are_those_that_type_checkers_see() -> None:
    tree = modules()["cortexnet"].tree
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "cortexnet.version"
        for alias in node.names
        if alias.asname
    }
    assert run("import cortexnet; print(*cortexnet.__all__)").split() == ["__version__", *sorted(seen)]
