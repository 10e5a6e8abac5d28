"""From a name in a manifest to an object: import it, check its arguments, call it.

Called by `compile`. Whatever goes wrong in the user's code becomes a `ManifestError` that points
at the field; the user's own exception stays its cause.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from curator_api.errors import ManifestError, Problem, did_you_mean
from curator_api.v1alpha1.rules import FROM_ENV
from curator_executor.api.pipeline import Stage
from curator_executor.api.stage import ProcessingStage

# A shorter value (a "1", a "no") would blot out half the message without hiding anything.
_SHORTEST_SECRET = 4


def make_importable(directory: Path | None) -> list[str]:
    """Let modules beside the manifest and in the current directory be imported.

    Args:
        directory: where the manifest is; None if it came from memory.

    Returns:
        The directories, first searched first; workers need them too.
    """
    folders = [directory, Path.cwd()] if directory is not None else [Path.cwd()]
    paths = list(dict.fromkeys(str(folder.resolve()) for folder in folders))
    for path in reversed(paths):
        if path not in sys.path:
            sys.path.insert(0, path)
    importlib.invalidate_caches()
    return paths


def import_name(name: str, field: str) -> Any:
    """The object behind `package.module.Name` or `package.module:Name`.

    Args:
        name: what the manifest says.
        field: path of the field that says it.

    Raises:
        ManifestError: no such module, no such name in it, or importing it failed.
    """
    if ":" in name:
        module_name, _, rest = name.partition(":")
        candidates = [(module_name, rest.split("."))]
    else:
        parts = name.split(".")
        candidates = [(".".join(parts[:end]), parts[end:]) for end in range(len(parts) - 1, 0, -1)]
    for module_name, attributes in candidates:
        module = _import_module(module_name, field)
        if module is not None:
            return _attribute(module, attributes, field)
    module_name = candidates[0][0]
    raise _refused(field, f"there is no module {module_name}", _module_hint(module_name))


def _import_module(name: str, field: str) -> ModuleType | None:
    """The module, or None if there is none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            return None
        raise _refused(
            field,
            f"importing {name} failed: it imports {missing}, which is not installed",
        ) from error
    except (Exception, SystemExit) as error:
        raise _refused(field, f"importing {name} failed: {_said(error)}") from error


def _attribute(module: ModuleType, attributes: Sequence[str], field: str) -> Any:
    found: Any = module
    where = module.__name__
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            names = _public_names(found)
            hint = did_you_mean(attribute, names)
            raise _refused(field, f"{where} has no {attribute}", hint) from error
        except Exception as error:
            raise _refused(
                field, f"importing {where}.{attribute} failed: {_said(error)}"
            ) from error
        where += f".{attribute}"
    return found


def _public_names(found: Any) -> list[str]:
    names = [name for name in dir(found) if not name.startswith("_")]
    paths = getattr(found, "__path__", None)
    if paths is not None:
        names += [module.name for module in pkgutil.iter_modules(paths)]
    return names


def _module_hint(name: str) -> str:
    top = name.partition(".")[0]
    local = [module.name for module in pkgutil.iter_modules(sys.path[:2])]
    near = did_you_mean(top, [*local, "curator_executor"])
    return near or ("It must be installed, or be beside the manifest or in the current directory")


def build_stage(name: str, args: Mapping[str, Any], path: str, secrets: Sequence[str]) -> Stage:
    """The stage that `class` and `args` describe.

    Args:
        name: what `class` says.
        args: keyword arguments of the constructor.
        path: path of the stage in the manifest.
        secrets: texts that must not show in an error.

    Raises:
        ManifestError: not a stage class, or its constructor refused the arguments.
    """
    field = f"{path}.class"
    target = import_name(name, field)
    if isinstance(target, ProcessingStage):
        if args:
            raise _refused(f"{path}.args", f"{name} is a ready stage and takes no arguments")
        return target
    if not isinstance(target, type):
        if callable(target):
            raise _refused(
                field,
                f"wanted a stage class, got the function {name}",
                "Put @processing_stage(...) over it to make a stage of it",
            )
        raise _refused(field, f"wanted a stage class, got {type(target).__name__} {name}")
    if not issubclass(target, ProcessingStage):
        bases = ", ".join(base.__name__ for base in target.__bases__)
        raise _refused(
            field,
            f"wanted a subclass of ProcessingStage, got {target.__name__}({bases})",
            "Import ProcessingStage from curator_executor",
        )
    if inspect.isabstract(target):
        missing = ", ".join(sorted(target.__abstractmethods__))
        raise _refused(field, f"{target.__name__} is abstract: it does not define {missing}")
    stage: Stage = call_with(target, args, path, secrets)
    return stage


def call_with(target: Any, args: Mapping[str, Any], path: str, secrets: Sequence[str] = ()) -> Any:
    """Call a class or function with keyword arguments from the manifest.

    Raises:
        ManifestError: unknown or missing arguments (all of them), or the call raised.
    """
    name = getattr(target, "__name__", str(target))
    field = f"{path}.args"
    signature = _signature(target)
    if signature is not None:
        problems = _argument_problems(signature, args, name, field)
        if problems:
            raise ManifestError(problems)
    try:
        return target(**args)
    except Exception as error:
        said = _said(error)
        named = [key for key in args if re.search(rf"\b{re.escape(str(key))}\b", said)]
        where = f"{field}.{named[0]}" if len(named) == 1 else field
        raise _refused(where, f"{name} refused: {_hidden(said, secrets)}") from error


def _signature(target: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def _argument_problems(
    signature: inspect.Signature, args: Mapping[str, Any], name: str, field: str
) -> list[Problem]:
    taken = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind
        in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    names = [parameter.name for parameter in taken]
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
    whole = f"{name} takes ({', '.join(str(p.replace(annotation=p.empty)) for p in taken)})"
    problems = [
        Problem(
            f"{field}.{given}",
            f"unknown argument; {whole}" if names else f"unknown argument; {name} takes none",
            did_you_mean(given, names),
        )
        for given in args
        if given not in names and not open_ended
    ]
    missing = [p.name for p in taken if p.default is p.empty and p.name not in args]
    if missing:
        problems.append(Problem(field, f"{', '.join(missing)} must be given; {whole}"))
    return problems


def resolve_env(
    value: Any, env: Mapping[str, str], path: str, secrets: list[str], problems: list[Problem]
) -> Any:
    """A copy of `args` with every `{fromEnv: NAME}` replaced by the variable's value.

    Args:
        value: the arguments, or what is inside them.
        env: the environment.
        path: path of `value` in the manifest.
        secrets: the values found are added, for errors to hide.
        problems: variables that are not set are added.
    """
    if isinstance(value, dict):
        if set(value) == {FROM_ENV}:
            name = value[FROM_ENV]
            if name not in env:
                problems.append(
                    Problem(
                        path,
                        f"environment variable {name} is not set",
                        did_you_mean(name, env) or f"Set it: export {name}=…",
                    )
                )
                return None
            secrets.append(env[name])
            return env[name]
        return {
            key: resolve_env(inner, env, f"{path}.{key}", secrets, problems)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            resolve_env(inner, env, f"{path}[{position}]", secrets, problems)
            for position, inner in enumerate(value)
        ]
    return value


def _hidden(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def _said(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _refused(field: str, message: str, hint: str = "") -> ManifestError:
    return ManifestError([Problem(field, message, hint)])
