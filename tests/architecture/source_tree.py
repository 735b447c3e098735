"""The package as its source says it is: modules, and what they import."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "cortexnet"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path from the root, for messages."""
        return str(self.path.relative_to(ROOT))

    @property
    def folder(self) -> Path:
        return self.path.parent


@cache
def modules() -> dict[str, Module]:
    """Every module of the package by its dotted name; a folder's `__init__` has the name of the folder."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return found


def python_files(*folders: str) -> list[Path]:
    """All Python files below folders of the root."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Every function with its name in the module, such as `Connection._dispatch`; functions within functions too."""
    yield from _functions(module.tree, "")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


def imports(module: Module, *, runtime: bool) -> dict[str, int]:
    """What a module imports, with the line: modules of this package in full (`cortexnet.mux.yamux`), of others too.

    Imports inside functions count. With `runtime`, those for the type checker alone do not.
    """
    found: dict[str, int] = {}
    for node in _walk(module.tree, runtime=runtime):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.place}:{node.lineno}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.setdefault(whole if whole in modules() else node.module, node.lineno)
    return found


def own_imports(module: Module, *, runtime: bool = True) -> dict[str, int]:
    """The same, of this package alone."""
    return {name: line for name, line in imports(module, runtime=runtime).items() if name in modules()}


def _walk(node: ast.AST, *, runtime: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if runtime and isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from _walk(other, runtime=runtime)
            continue
        yield child
        yield from _walk(child, runtime=runtime)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
