"""The plugin manager and the catalogue of everything that plugins offer."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import walk_tb
from types import FrameType, ModuleType
from typing import Any, TypeVar

import pluggy

from normbench import hookspecs
from normbench.descriptions import (
    Component,
    Dataset,
    Launcher,
    Network,
    Norm,
    Observer,
    Optimizer,
    Problem,
    Setting,
    Suite,
)
from normbench.errors import (
    DamagedFileError,
    PluginError,
    UnknownNameError,
    UsageError,
    install_extra,
    unknown_name,
)
from normbench.publications import Publication
from normbench.rules import Protocol
from normbench.setting_files import SETTINGS_FOLDER, is_of, read_folder

BUILT_IN_PLUGINS: tuple[str, ...] = (
    "normbench.launchers.table",
    "normbench_plugins.norms.table",
    "normbench_plugins.observers.table",
    "normbench_plugins.optimizers.table",
    "normbench_problems.datasets.table",
    "normbench_problems.networks.table",
    "normbench_problems.table",
    "normbench_baselines.protocols",
    "normbench_baselines.published",
    "normbench_baselines.settings",
    "normbench_baselines.suites",
)
# Other packages' components; a bridge whose package is not installed offers nothing.
BRIDGES: Mapping[str, str] = {
    "deepobs": "normbench_plugins.bridges.deepobs",
    "pytorch_optimizer": "normbench_plugins.bridges.pytorch_optimizer",
    "timm": "normbench_plugins.bridges.timm",
}
DISABLE_VARIABLE = "NORMBENCH_DISABLE_PLUGINS"

_log = logging.getLogger(__name__)
_C = TypeVar("_C", bound=Component)
_HOOKS: Mapping[type[Component], str] = {
    Dataset: "normbench_datasets",
    Network: "normbench_networks",
    Problem: "normbench_problems",
    Norm: "normbench_norms",
    Optimizer: "normbench_optimizers",
    Protocol: "normbench_protocols",
    Launcher: "normbench_launchers",
    Observer: "normbench_observers",
    Suite: "normbench_suites",
    Publication: "normbench_publications",
}
KINDS: Mapping[str, type[Component]] = {kind.kind: kind for kind in _HOOKS}


@dataclass(frozen=True, kw_only=True)
class PluginInfo:
    """One plugin as ``normbench list plugins`` shows it.

    Attributes:
        name: Entry-point name, file or module.
        origin: ``built-in``, ``bridge``, the distribution with its version, or ``file``.
        error: Why it could not be loaded; empty if it was.
    """

    name: str
    origin: str
    error: str = ""


@dataclass(frozen=True)
class Offer:
    """A description together with the plugin that offers it.

    Attributes:
        component: The description.
        plugin: The plugin's name.
        origin: Where the plugin comes from.
        digest: Of a one-off file: what its content is told by, since it has no version.
    """

    component: Component
    plugin: str
    origin: str
    digest: str = ""


@dataclass
class Catalogue:
    """Everything that the loaded plugins offer, by kind and name.

    Attributes:
        plugins: All plugins met, loaded or not.
        files: One-off plugin files, which workers must load too.
        settings_folder: Where a store keeps the settings that were tuned in it; None for no store.
    """

    plugins: list[PluginInfo] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    settings_folder: Path | None = None
    _offers: dict[str, dict[str, list[Offer]]] = field(default_factory=dict)
    _settings: list[Setting] = field(default_factory=list)
    _told: set[Path] = field(default_factory=set)

    def get(self, kind: type[_C], name: str) -> _C:
        """Return the component of *kind* called *name*.

        Raises:
            UsageError: If there is none.
            PluginError: If two plugins offer it, or if the plugin that might have failed to load.
        """
        offers = self._offers.get(kind.kind, {}).get(name, [])
        if not offers:
            raise self._unknown(kind.kind, name)
        if len(offers) > 1:
            raise PluginError(
                f"{kind.kind} {name!r} is offered by {' and by '.join(_described(offers))}. "
                f"{_how_to_drop(offers[-1])}."
            )
        component = offers[0].component
        assert isinstance(component, kind)  # noqa: S101 - _add filed it by its own type
        return component

    def names(self, kind: type[Component]) -> list[str]:
        """Return the names of all components of *kind*, sorted."""
        return sorted(self._offers.get(kind.kind, {}))

    def offers(self, kind: type[Component]) -> list[Offer]:
        """Return all offers of *kind* by name; a name offered twice comes twice."""
        by_name = self._offers.get(kind.kind, {})
        return [offer for name in sorted(by_name) for offer in by_name[name]]

    def settings(self) -> Sequence[Setting]:
        """Return all known settings; where several are for one cell, the first counts.

        Files of the store's own settings that cannot be read are left out, with a warning.
        """
        _warn_once(self._own_settings[1], self._told)
        return (*self._own_settings[0], *self._settings)

    def settings_of(
        self, problem: str, norm: str, optimizer: str, protocol: str
    ) -> Sequence[Setting]:
        """Return the known settings of these names, in the order of :meth:`settings`.

        Raises:
            DamagedFileError: If a file of the store's own settings is called as theirs is, and
                cannot be read.
        """
        names = (problem, norm, optimizer, protocol)
        if damaged := self.damaged_setting(*names):
            raise damaged
        return self._settings_by_names.get(names, ())

    def damaged_setting(
        self, problem: str, norm: str, optimizer: str, protocol: str
    ) -> DamagedFileError | None:
        """Return why the store's own settings of these names are not known; None if they are."""
        names = (problem, norm, optimizer, protocol)
        found = (damaged for damaged in self._own_settings[1] if is_of(damaged.file, names))
        return next(found, None)

    def offered_by_files(self) -> dict[Path, list[str]]:
        """Return what each one-off file offers, such as ``norm mine``."""
        offers = [each for kind in KINDS.values() for each in self.offers(kind)]
        return {
            file: [
                f"{offer.component.kind} {offer.component.name}"
                for offer in offers
                if offer.origin == "file" and offer.plugin == file.name
            ]
            for file in self.files
        }

    def with_store(self, root: Path) -> Catalogue:
        """Return a catalogue that also knows the settings tuned in the store at *root*.

        They are read when settings are first asked for, and win over those of plugins.
        """
        return replace(self, settings_folder=root / SETTINGS_FOLDER)

    def with_settings(self, settings: Iterable[Setting]) -> Catalogue:
        """Return a catalogue that also knows *settings*, which win over those of plugins."""
        return replace(self, _settings=[*settings, *self._settings])

    def without_settings(self) -> Catalogue:
        """Return a catalogue that knows no settings, so that an optimizer's defaults are taken."""
        return replace(self, settings_folder=None, _settings=[])

    @cached_property
    def _own_settings(self) -> tuple[Sequence[Setting], Sequence[DamagedFileError]]:
        return read_folder(self.settings_folder) if self.settings_folder else ((), ())

    @cached_property
    def _settings_by_names(self) -> Mapping[tuple[str, ...], Sequence[Setting]]:
        found: dict[tuple[str, ...], list[Setting]] = {}
        for each in self.settings():
            key = (each.problem, each.norm, each.optimizer, each.protocol)
            found.setdefault(key, []).append(each)
        return found

    def add(self, component: Component, plugin: str, origin: str, digest: str = "") -> None:
        """File *component* under its kind and name."""
        by_name = self._offers.setdefault(component.kind, {})
        offer = Offer(component, plugin, origin, digest)
        by_name.setdefault(component.name, []).append(offer)

    def digest(self, component: Component) -> str:
        """Return what tells the content of the one-off file that *component* is from, or ''."""
        offers = self._offers.get(component.kind, {}).get(component.name, [])
        return offers[0].digest if offers else ""

    def add_settings(self, settings: Iterable[Setting]) -> None:
        """File known settings."""
        self._settings.extend(settings)
        self.__dict__.pop("_settings_by_names", None)

    def _unknown(self, kind: str, name: str) -> UsageError:
        parts = name.split(",")
        if len(parts) > 1 and all(part in self._offers.get(kind, {}) for part in parts):
            return UsageError(
                f"{kind} {name!r} is several, and a run has one {kind}: run the command for each, "
                "or a suite of them all, see: normbench suite --help"
            )
        found = _unknown_component(kind, name, self._offers.get(kind, {}))
        error = UnknownNameError.of(kind, name, str(found))
        broken = [f"{plugin.name} ({plugin.error})" for plugin in self.plugins if plugin.error]
        if not broken:
            return error
        return PluginError(f"{error} These plugins failed to load: {'; '.join(broken)}")


def _unknown_component(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for *name*; of a bridge's many names only the like are listed."""
    prefix = name.partition(":")[0] if ":" in name else ""
    alike = [
        other for other in known if (other.partition(":")[0] if ":" in other else "") == prefix
    ]
    error = unknown_name(kind, name, alike)
    if not prefix or alike:
        return error
    fix = "See what is installed: normbench list plugins"
    if prefix in BRIDGES:
        fix = f"Install it: {install_extra(prefix.replace('_', '-'))}"
    return UsageError(f"unknown {kind} {name!r}: nothing is offered under {prefix!r}. {fix}")


def load_catalogue(plugin_files: Iterable[Path] = ()) -> Catalogue:
    """Load built-in, installed and one-off plugins and return what they offer.

    An installed plugin that fails to import is reported once as a warning and left out.

    Args:
        plugin_files: One-off plugin files.

    Raises:
        PluginError: If a one-off file cannot be loaded.
    """
    files = tuple(Path(file).resolve() for file in plugin_files)
    catalogue = Catalogue(files=files)
    for name in BUILT_IN_PLUGINS:
        _take(catalogue, import_module(name), name, "built-in")
    disabled = {name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",")} - {""}
    for name, module in BRIDGES.items():
        if name not in disabled:
            _take_guarded(catalogue, partial(import_module, module), name, "bridge")
    found = sorted(entry_points(group=hookspecs.PROJECT), key=_entry_point_key)
    for entry_point in found:
        if entry_point.name not in disabled:
            _take_guarded(catalogue, entry_point.load, entry_point.name, _origin(entry_point))
    _note_misspelt(disabled, {*BRIDGES, *(entry_point.name for entry_point in found)})
    for file in files:
        plugin = _import_file(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        _take(catalogue, plugin, file.name, "file", digest)
    return catalogue


def _note_misspelt(disabled: set[str], installed: set[str]) -> None:
    """Say which names to be disabled are no installed plugin's."""
    for name in sorted(disabled - installed):
        _log.warning(
            "%s=%s disables nothing: no installed plugin has that name; there are: %s",
            DISABLE_VARIABLE,
            name,
            ", ".join(sorted(installed)) or "none",
        )


def _take_guarded(catalogue: Catalogue, load: Callable[[], Any], name: str, origin: str) -> None:
    """Load another package's plugin; whatever goes wrong in it concerns that plugin alone."""
    try:
        _take(catalogue, load(), name, origin)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's import may raise anything
        reason = f"{type(error).__name__}: {error}"
        catalogue.plugins.append(PluginInfo(name=name, origin=origin, error=reason))
        _log.warning(
            "plugin %r of %s could not be loaded and is left out: %s. Silence this with %s=%s.",
            name,
            origin,
            reason,
            DISABLE_VARIABLE,
            name,
        )


def _take(catalogue: Catalogue, plugin: Any, name: str, origin: str, digest: str = "") -> None:
    """Ask *plugin* for all it offers and file it; a plugin is taken whole or not at all."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name=name)
    _refuse_misspelt(plugin, name)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise PluginError(
            f"plugin {name!r} offers nothing: it has no function normbench_... marked with "
            "@normbench.hookimpl. See CONTRIBUTING.md for an example."
        )
    components = [
        component
        for kind, hook in _HOOKS.items()
        for component in _offered(_called(manager, hook, name), kind, name)
    ]
    settings = [s for offered in _called(manager, "normbench_settings", name) for s in offered]
    for component in components:
        catalogue.add(component, name, origin, digest)
    catalogue.add_settings(settings)
    catalogue.plugins.append(PluginInfo(name=name, origin=origin))


def _called(manager: pluggy.PluginManager, hook: str, plugin: str) -> list[Any]:
    try:
        results: list[Any] = getattr(manager.hook, hook)()
        # A generator runs, and may fail, only as it is read.
        return [list(each) if isinstance(each, Iterator) else each for each in results]
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {plugin!r} failed in {hook}: {_told(error, manager.get_plugin(plugin))}. "
            "Repair it, or leave it out."
        ) from error


def _offered(results: list[Any], kind: type[Component], plugin: str) -> list[Component]:
    for offered in results:
        if isinstance(offered, Component) or not isinstance(offered, Iterable):
            raise PluginError(
                f"plugin {plugin!r} returned {offered!r} from {_HOOKS[kind]}: expected a list of "
                f"normbench.{kind.__name__} descriptions. Put it into brackets."
            )
    components = [component for offered in results for component in offered]
    for component in components:
        if not isinstance(component, kind):
            raise PluginError(
                f"plugin {plugin!r} returned {component!r} from {_HOOKS[kind]}: expected "
                f"normbench.{kind.__name__} descriptions."
            )
    return components


def _refuse_misspelt(plugin: Any, name: str) -> None:
    """Refuse a function called normbench_* that is no hook: without its mark pluggy ignores it."""
    known = {hook for hook in vars(hookspecs) if hook.startswith("normbench_")}
    for attribute in dir(plugin):
        if attribute.startswith("normbench_") and callable(getattr(plugin, attribute)):
            if attribute not in known:
                raise PluginError(f"plugin {name!r}: {unknown_name('hook', attribute, known)}")
            if not hasattr(getattr(plugin, attribute), f"{hookspecs.PROJECT}_impl"):
                raise PluginError(
                    f"plugin {name!r}: {attribute} lacks its mark. "
                    "Put @normbench.hookimpl above it."
                )


def _warn_once(damaged: Iterable[DamagedFileError], told: set[Path]) -> None:
    """Say which files are left out, but for those of which that was *told*."""
    for error in damaged:
        if error.file not in told:
            _log.warning("%s Until then it is left out.", error)
            told.add(error.file)


def _import_file(file: Path) -> ModuleType:
    """Import a one-off plugin file under a name of its own."""
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    name = f"normbench_plugin_{file.stem}_{digest}"
    spec = spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise PluginError(f"plugin file {file} does not exist or is not a Python file.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(
            f"plugin file {file} could not be loaded: {_told(error, module)}."
        ) from error
    return module


def _told(error: BaseException, plugin: Any) -> str:
    """Return what an exception says, and the last line in the plugin's file that it came by."""
    file = getattr(plugin, "__file__", None)
    lines = [line for frame, line in walk_tb(error.__traceback__) if _file(frame) == file]
    said = f"{type(error).__name__}: {error}"
    return f"{said} ({file}, line {lines[-1]})" if file and lines else said


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename


def _origin(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    return f"{distribution.name} {distribution.version}" if distribution else "unknown package"


def _entry_point_key(entry_point: EntryPoint) -> tuple[str, str]:
    return entry_point.name, entry_point.value


def _how_to_drop(offer: Offer) -> str:
    if offer.origin == "file":
        return f"Leave out --plugin {offer.plugin}, or rename what it offers"
    return f"Disable one of them: {DISABLE_VARIABLE}={offer.plugin}"


def _described(offers: Sequence[Offer]) -> list[str]:
    return [f"plugin {offer.plugin} ({offer.origin})" for offer in offers]
