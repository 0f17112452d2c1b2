# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports a few modules of a wheel for real and everything heavy as stubs.

A stub takes every use that import-time code makes of it: attributes, calls, indexing, arithmetic, subclassing,
decorating, annotations. It remembers where it came from, so that whoever finds one in a result can tell which module
must be real.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from tools.catalog.engines import Engine
from tools.catalog.index import WheelFiles

NEWEST = "99.0.0"  # the version of every stubbed package
MARK = re.compile("⟨stub:(.*?)⟩")

consulted: list[str] = []
"""Origins of stubs whose content decided something (truth, length, iteration, comparison): the decision is made up."""

answers: dict[str, Any] = {}
"""Origin → the true value that is read of a stubbed package (``torch:version.cuda``)."""


def stub(origin: str) -> Any:
    """The known answer for this origin, or a stub."""
    return answers[origin] if origin in answers else Stub(origin)


class Stub:
    """An inert value; falsy and empty."""

    def __init__(self, origin: str) -> None:
        object.__setattr__(self, "_origin", origin)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return stub(f"{self._origin}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any(hasattr(a, "add_argument") and not isinstance(a, Stub) for a in args):
            consulted.append(self._origin)  # it was called to add options to a parser: they are missing
        if len(args) == 1 and not kwargs and isinstance(args[0], (types.FunctionType, type)):
            return args[0]  # used as a decorator
        return stub(f"{self._origin}()")

    def __getitem__(self, key: Any) -> Any:
        return Stub(f"{self._origin}[]")

    def _decide(self) -> None:
        consulted.append(self._origin)

    def __iter__(self) -> Any:
        self._decide()
        return iter([Stub(f"{self._origin}[]")])

    def __len__(self) -> int:
        self._decide()
        return 0

    def __bool__(self) -> bool:
        self._decide()
        return False

    def __contains__(self, item: Any) -> bool:
        self._decide()
        return False

    def __lt__(self, other: Any) -> bool:
        self._decide()
        return False

    __gt__ = __le__ = __ge__ = __lt__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stub) and other._origin == self._origin

    def __hash__(self) -> int:
        return hash(self._origin)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *args: Any) -> None:
        pass

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        # one StubBase per class at most, and none beside a base that already derives from it
        derived = any(isinstance(base, StubMeta) for base in bases)
        first = next(base for base in bases if isinstance(base, Stub))
        return (StubBase,) if self is first and not derived else ()

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __subclasscheck__(self, subclass: type) -> bool:
        return False

    def __get_pydantic_core_schema__(self, *args: Any) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415  (only engines that use pydantic need it)

        return core_schema.any_schema()

    def __or__(self, other: Any) -> Any:
        try:
            return typing.Union[self, other]  # noqa: UP007  (an annotation: what stands beside the stub must survive)
        except TypeError:
            return Stub(f"{self._origin}.or")

    def __ror__(self, other: Any) -> Any:
        try:
            return typing.Union[other, self]  # noqa: UP007
        except TypeError:
            return Stub(f"{self._origin}.or")

    def __str__(self) -> str:
        return f"⟨stub:{self._origin}⟩"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def __index__(self) -> int:
        return 0

    __int__ = __index__

    def __float__(self) -> float:
        return 0.0

    def __fspath__(self) -> str:
        return "/nonexistent"


def _operator(name: str) -> Any:
    return lambda self, *args: Stub(f"{self._origin}.{name}")


for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "xor", "lshift", "rshift"]:
    setattr(Stub, f"__{_name}__", _operator(_name))
    setattr(Stub, f"__r{_name}__", _operator(_name))
for _name in ["neg", "invert", "abs"]:
    setattr(Stub, f"__{_name}__", _operator(_name))


class StubMeta(type(typing.Protocol)):  # type: ignore[misc]  # compatible with ABCMeta and with protocols
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Stub(f"{cls.__module__}:{cls.__name__}.{name}")


class StubBase(metaclass=StubMeta):
    """What a class becomes whose base is a stub."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        pass

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __class_getitem__(cls, key: Any) -> Any:
        return cls


class StubModule(types.ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__file__ = "<stub>"
        self.__version__ = NEWEST

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value = stub(f"{self.__name__}:{name}")
        object.__setattr__(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Decides what an import gets.

    Real: the standard library, pip (which fetches the files), the engine's `installed` packages and `real` modules. Not
    found: its `absent` packages. A stub: everything else.
    """

    def __init__(self, files: WheelFiles, engine: Engine, more_real: Iterable[str]) -> None:
        self._files = files
        self._package = engine.package
        self._real = frozenset([*engine.real, *more_real])
        self._stubbed = frozenset(engine.stubbed)
        self._installed = frozenset(engine.installed)
        self._absent = frozenset(engine.absent)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in self._installed or top in ("__main__", "pip", "tools"):
            return None
        if name in self._absent or top in self._absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if top != self._package:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        file, is_package = self._locate(name)
        if file is None and not is_package and not self._is_native(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        spec = importlib.machinery.ModuleSpec(name, self, is_package=is_package or file is None, origin=file)
        return spec

    def _locate(self, name: str) -> tuple[str | None, bool]:
        path = name.replace(".", "/")
        is_package = path in self._files.folders
        file = f"{path}/__init__.py" if is_package else f"{path}.py"
        return (file if file in self._files.names else None), is_package

    def _is_native(self, name: str) -> bool:
        prefix = name.replace(".", "/") + "."
        return any(file.startswith(prefix) and file.endswith(".so") for file in self._files.names)

    def _is_real(self, name: str) -> bool:
        parents = [name.rsplit(".", n)[0] for n in range(name.count(".") + 1)]  # the module itself first
        if self._stubbed.intersection(parents):
            return False
        return name in self._real or any(f"{parent}.*" in self._real for parent in parents)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return None if spec.origin and self._is_real(spec.name) else StubModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        spec = module.__spec__
        if isinstance(module, StubModule) or spec is None or spec.origin is None:
            return
        module.__file__ = spec.origin
        code = compile(self._files.read(spec.origin), spec.origin, "exec", dont_inherit=True)
        exec(code, module.__dict__)

    def get_source(self, fullname: str) -> str | None:
        """For `inspect.getsource`: some engines read the help texts out of their own classes."""
        file, _ = self._locate(fullname)
        return self._files.read(file) if file else None


def install(finder: Finder, facts: Mapping[str, Any]) -> None:
    """Import through the finder from now on; facts: what stubs answer truthfully, by origin."""
    answers.update(facts)
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, finder)
    importlib.metadata.version = _version


def _version(distribution_name: str) -> str:
    try:
        return importlib.metadata.distribution(distribution_name).version
    except importlib.metadata.PackageNotFoundError:
        return NEWEST
