"""Puts what is written below the fields of a class where `help()` finds it: Python itself keeps none of these strings.

    @documented
    @dataclass(frozen=True)
    class Limits:
        connections: int = 384
        \"\"\"Both directions together.\"\"\"

The source is read when somebody asks for the docstring, not before.
"""

from typing import TypeVar, final

C = TypeVar("C", bound=type)


def documented(owner: C) -> C:
    """The class, whose docstring ends in a list of its documented fields: annotated ones, and those set in `__init__`."""
    type.__setattr__(owner, "__doc__", _Docstring(owner.__doc__ or ""))
    return owner


@final
class _Docstring:
    """The docstring of a class, made on first use."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._whole: str | None = None

    def __get__(self, instance: object, owner: type) -> str:
        if self._whole is None:
            self._whole = _with_fields(self._text, owner)
        return self._whole


def field_docs(owner: type) -> dict[str, str]:
    """What is written below each field of a class, by the field's name; nothing where its source is not installed."""
    return {name: text for name, _, text in _documented_fields(owner)}


def _with_fields(text: str, owner: type) -> str:
    import inspect
    from textwrap import indent

    found = [f"{declared}\n{indent(doc, '    ')}" for _, declared, doc in _documented_fields(owner)]
    return "\n\n".join([part for part in (inspect.cleandoc(text), "\n".join(found)) if part])


def _documented_fields(owner: type) -> list[tuple[str, str, str]]:
    """Of each documented field its name, its declaration, and what is written below."""
    # Imported here: a program that nobody asks for help needs none of them.
    import ast
    import inspect
    from itertools import pairwise
    from textwrap import dedent

    try:
        body = ast.parse(dedent(inspect.getsource(owner))).body[0]
    except (OSError, TypeError):  # installed without its source, or made in a way that has none
        return []
    assert isinstance(body, ast.ClassDef)
    blocks: list[list[ast.stmt]] = [body.body]
    blocks += [node.body for node in body.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    found: list[tuple[str, str, str]] = []
    for block in blocks:
        for node, below in pairwise(block):
            is_field = isinstance(node, ast.Assign | ast.AnnAssign)
            if is_field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                declared = ast.unparse(node)
                if declared.startswith("self."):  # what an attribute begins with is of no interest
                    declared = declared.removeprefix("self.").partition(" = ")[0]
                name = declared.partition(" = ")[0].partition(":")[0]
                found.append((name, declared, inspect.cleandoc(str(below.value.value))))
    return found
