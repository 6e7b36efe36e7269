"""No option is accepted and ignored: the sources read each field of each config class."""

import ast
from collections.abc import Generator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))


def decorators(node: ast.ClassDef | ast.FunctionDef) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def fields(tree: ast.Module) -> Generator[tuple[str, str]]:
    """Class and field of each field that a chz class of the module declares."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and "chz.chz" in decorators(node):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    yield node.name, statement.target.id


class Reads(ast.NodeVisitor):
    """Names of attributes that are read, except by validators: what is only checked is not used."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if "chz.validate" not in decorators(node):
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            self.names.add(node.attr)
        self.generic_visit(node)


def test_each_field_is_read_somewhere() -> None:
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    reads = Reads()
    for tree in trees:
        reads.visit(tree)
    declared = [field for tree in trees for field in fields(tree)]
    assert len(declared) > 50
    unread = [f"{cls}.{name}" for cls, name in declared if name not in reads.names]
    assert unread == []
