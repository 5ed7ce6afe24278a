"""The Python API: the words of the command line as keywords."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.cadence import asked_observers
from normbench.descriptions import Launcher, Observer
from normbench.errors import UsageError
from normbench.launchers.base import Launch, LaunchRequest, Pack, Slots
from normbench.launchers.devices import check_pack, devices
from normbench.launchers.signals import interrupted_by_signals
from normbench.overrides import parse_mask
from normbench.places import data_folder
from normbench.planning import check_resumable, plan
from normbench.plugins import Catalogue, load_catalogue
from normbench.report import Row, rows_of
from normbench.resolve import Request
from normbench.rungs import check_engine
from normbench.specs import ComponentSpec, RunSpec
from normbench.store import RunStore, StoredRun, store_path
from normbench.store.plugin_files import note_plugin_files

if TYPE_CHECKING:
    from normbench.staging import Decision
    from normbench.tracking import Collector

Tick = Callable[[], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, repr=False)
class Report:
    """What a call of :func:`run` or :func:`resume` leaves behind.

    Attributes:
        rows: One for each cell at a setting.
        store: The run store.
        trained: Runs that ended with a result during the call; the others had one before, or have
            none yet.
        tracking: What was sent to MLflow, in words; empty if nothing was.
        behind: What MLflow lacks of the store, in a sentence; empty if nothing that is known of.
        observed: Runs that had a result before and got series during the call.
        lacking: The series that were asked for and are not there, in a sentence for each run.
        going_on: How to go on, if the launcher was told not to wait for the runs; else empty.
        decision: Where stages stopped and why, if seeds were added until decided.
    """

    rows: tuple[Row, ...]
    store: Path
    trained: int = 0
    tracking: str = ""
    behind: str = ""
    observed: int = 0
    lacking: tuple[str, ...] = ()
    going_on: str = ""
    decision: Decision | None = None

    @property
    def complete(self) -> bool:
        """Whether every run has ended with a result and has its series."""
        return all(row.complete for row in self.rows) and not self.lacking

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON values."""
        return {
            "store": str(self.store),
            "trained": self.trained,
            "observed": self.observed,
            "tracking": self.tracking,
            "behind": self.behind,
            "rows": [row.to_dict() for row in self.rows],
            "lacking": list(self.lacking),
            "going_on": self.going_on,
            **({"decision": self.decision.to_dict()} if self.decision else {}),
        }

    def __repr__(self) -> str:
        """Return the rows as aligned text, which is what a prompt should show."""
        return str(self)

    def __str__(self) -> str:
        """Return the rows as aligned text."""
        from normbench.tables import rows_as_text

        text = rows_as_text(self.rows)
        return f"{text}\n{self.decision.why}" if self.decision else text

    def _repr_html_(self) -> str:
        from normbench.tables import rows_as_html

        return rows_as_html(self.rows)


@dataclass(frozen=True, kw_only=True)
class Launching:
    """How runs get trained; see the options of ``normbench run``.

    Attributes:
        store: Run store; None for the default place.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        slots: Runs trained at once on the processor or on each GPU; None for one on each core or
            GPU, ``auto`` for as many on each GPU as its memory allows.
        pack: Runs of one kind that a process on a GPU trains at once; ``auto`` or ``off``.
        engine: ``auto``, ``eager``, ``graph`` or ``compile``; how steps are carried out.
        data_dir: Data folder; None for the default place.
        launcher: Who starts the workers.
        launcher_options: Words for that launcher alone.
        track: Whether MLflow is fed.
        keep_weights: Whether final weights are kept.
        checkpoint_seconds: Least time between checkpoints; None for the worker's default.
        time_limit: Seconds that a run may take; None without limit.
        memory_limit: Bytes of memory that a worker may hold; None without limit.
        observers: What looks on.
        watch: Shows how far the runs are.
    """

    store: Path | None = None
    device: str = "auto"
    slots: Slots = None
    pack: Pack = "auto"
    engine: str = "auto"
    data_dir: Path | None = None
    launcher: str = "local"
    launcher_options: Mapping[str, str] = field(default_factory=dict)
    track: bool = True
    keep_weights: bool = False
    checkpoint_seconds: float | None = None
    time_limit: float | None = None
    memory_limit: int | None = None
    observers: Sequence[ComponentSpec] = ()
    watch: Callable[[RunStore, Sequence[str]], AbstractContextManager[Tick]] = field(
        default=lambda _store, _runs: nullcontext(_nothing)
    )


def run(
    problem: str,
    optimizer: str,
    *,
    norm: str | None = None,
    sites: str | Sequence[int] | None = None,
    ablation: str | None = None,
    protocol: str | None = None,
    seeds: int | Sequence[int] | None = None,
    config: str | Path | None = None,
    setting_of: str | None = None,
    plugins: Iterable[str | Path] = (),
    store: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    slots: Slots = None,
    pack: Pack = "auto",
    engine: str = "auto",
    launcher: str = "local",
    launcher_options: Mapping[str, str] | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
    track: bool = True,
    keep_weights: bool = False,
    observe: Iterable[str] = (),
    until_decided: bool = False,
    max_seeds: int | None = None,
    stages: Sequence[int] | None = None,
    **words: Any,
) -> Report:
    """Train *problem* with *optimizer*, one run for each seed; what is done already is kept.

    >>> report = normbench.run("digits_cnn_bn", "sgd", norm="group_norm", seeds=5)  # doctest: +SKIP

    With *until_decided* seeds are added in stages that are declared in the store beforehand, until
    the verdict against the table's reference is better, worse or equivalent; ``report.decision``
    says where they stopped.

    Args:
        problem: Problem by name.
        optimizer: Optimizer by name.
        norm: Norm at every site; default: the problem's.
        sites: Mask of norm sites, such as ``"0,0,1"``.
        ablation: ``trained``, ``fixed``, ``fixed_gamma`` or ``fixed_beta``.
        protocol: Protocol by name; default ``standard``.
        seeds: A number of seeds or the seeds; default: the protocol's.
        config: YAML file of words.
        setting_of: Cell whose known setting to use, such as ``"norm=batch_norm"``.
        plugins: One-off plugin files.
        store: Run store; default ``$NORMBENCH_STORE``, else ``./normbench-runs``.
        data_dir: Data folder; default ``$NORMBENCH_DATA``, else the user cache.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        slots: Runs trained at once on the processor or on each GPU; ``"auto"`` for as many on each
            GPU as its memory allows.
        pack: Runs of one kind that a process on a GPU trains at once, as branches of one CUDA
            graph; ``"auto"`` for as many as its memory allows, or ``"off"``.
        engine: ``auto`` for the fastest way to carry out steps that holds on the device,
            ``eager``, ``graph`` (CUDA only) or ``compile``; kept on resume.
        launcher: Who starts the workers.
        launcher_options: Words for that launcher alone, such as ``{"partition": "gpu"}``.
        time_limit: Seconds that a run may take.
        memory_limit: Bytes of memory that a worker may hold.
        track: Whether MLflow is fed.
        keep_weights: Whether final weights are kept.
        observe: Observers to look on, such as ``["activations:every=0.1"]``.
        until_decided: Add seeds in stages until decided; trains the reference, too.
        max_seeds: The last stage; default 20.
        stages: Numbers of seeds to look at; default every five.
        words: Overrides; write dots as two underscores, ``protocol__epochs=3``.

    Raises:
        UsageError: If the request cannot be carried out as given.
    """
    root = store_path(Path(store) if store else None)
    catalogue = load_catalogue(Path(file) for file in plugins).with_store(root)
    request = Request(
        problem=problem,
        optimizer=optimizer,
        norm=norm,
        sites=parse_mask(sites),
        ablation=ablation,
        protocol=protocol,
        seeds=seeds,
        config=Path(config) if config else None,
        setting_of=setting_of,
        words=as_words(words),
    )
    launching = Launching(
        store=root,
        device=device,
        slots=slots,
        pack=pack,
        engine=engine,
        launcher=launcher,
        launcher_options=launcher_options or {},
        time_limit=time_limit,
        memory_limit=memory_limit,
        data_dir=Path(data_dir) if data_dir else None,
        track=track,
        keep_weights=keep_weights,
        observers=asked_observers(observe, catalogue),
    )
    if until_decided:
        return _run_until_decided(request, catalogue, launching, stages, max_seeds)
    if stages is not None or max_seeds is not None:
        raise UsageError(
            "stages and max_seeds: only with until_decided=True, which adds seeds in stages. For a "
            "fixed number of seeds give seeds=N."
        )
    return launch(plan(request, catalogue, launching.data_dir), catalogue, launching)


def _run_until_decided(
    request: Request,
    catalogue: Catalogue,
    launching: Launching,
    stages: Sequence[int] | None,
    max_seeds: int | None,
) -> Report:
    from normbench.staging import Staging, run_staged

    asked = Staging(request=request, stages=stages, max_seeds=max_seeds)
    return run_staged(asked, catalogue, launching, say=_log.info)


def launch(specs: Sequence[RunSpec], catalogue: Catalogue, launching: Launching) -> Report:
    """Add *specs* to the store, train those that are not done, and report on all of them."""
    check_launching(launching, catalogue)
    store = RunStore.open(store_path(launching.store), create=True)
    runs = [store.add(spec) for spec in specs]
    for added in runs:
        added.readmit()
        added.ask(launching.observers)
    return _train(store, runs, catalogue, launching)


def check_launching(launching: Launching, catalogue: Catalogue) -> None:
    """Check what can be known of a launch before anything is written.

    Raises:
        UsageError: If there is no such launcher, or no such device where this machine trains, or
            that device cannot have the engine.
    """
    launcher = catalogue.get(Launcher, launching.launcher).load()()
    if hasattr(launcher, "check"):
        launcher.check(launching.launcher_options)
    if launching.launcher == "local":
        chosen = devices(launching.device, launching.slots)
        check_engine(launching.engine, chosen[0])
        check_pack(launching.pack, launching.slots, chosen[0])
        if launching.launcher_options:
            names = ", ".join(sorted(launching.launcher_options))
            raise UsageError(
                f"the local launcher has no options of its own, but was given {names}. Leave out "
                "--launcher-option, or choose another --launcher."
            )


def resume(
    store: str | Path | None = None,
    runs: Iterable[str] | None = None,
    *,
    catalogue: Catalogue | None = None,
    launching: Launching | None = None,
    **options: Any,
) -> Report:
    """Train the unfinished runs of a store, or those named, from their last checkpoints.

    Runs that lack series which were asked for are trained again for them. Cancelled runs are left
    alone unless they are named.

    Args:
        store: Run store; default ``$NORMBENCH_STORE``, else ``./normbench-runs``.
        runs: Beginnings of fingerprints of runs or rows; None for all.
        catalogue: What the plugins offer; default: built-in and installed ones.
        launching: How to train; default: made of *options*.
        options: Fields of :class:`Launching`, such as ``device``, ``slots`` and ``track``.

    Raises:
        UsageError: If a fingerprint is not in the store, or the launch cannot be as asked; see
            :func:`check_launching`.
    """
    opened = RunStore.open(store_path(Path(store) if store else None))
    launching = launching or Launching(**options)
    catalogue = catalogue or load_catalogue()
    check_launching(launching, catalogue)
    unfinished = _unfinished(opened) if runs is None else _readmitted(opened, runs)
    check_resumable((run.spec for run in unfinished), catalogue, launching.data_dir)
    return _train(opened, unfinished, catalogue, launching)


def _train(
    store: RunStore, runs: Sequence[StoredRun], catalogue: Catalogue, launching: Launching
) -> Report:
    names = [run.fingerprint for run in runs]
    before = store.indexed(names)
    waiting = [run for run in runs if not before[run.fingerprint].complete]
    _check_observers(waiting, catalogue)
    fingerprints = tuple(run.fingerprint for run in waiting)
    collector = None if _detaches(catalogue, launching) else _collector(store, launching)
    going_on = None
    with collector or nullcontext():
        if fingerprints:
            going_on = _launch(store, fingerprints, catalogue, launching)
    sent = collector.stop() if collector else None
    after = store.indexed(names)
    return Report(
        rows=tuple(rows_of(runs, after)),
        store=store.root,
        trained=sum(after[name].done and not before[name].done for name in names),
        tracking=str(sent) if sent else "",
        behind=sent.behind if sent else "",
        observed=sum(before[name].lacking and not after[name].lacking for name in names),
        lacking=tuple(_lacking(run) for run in runs if after[run.fingerprint].lacking),
        going_on=going_on or "",
    )


def _check_observers(runs: Iterable[StoredRun], catalogue: Catalogue) -> None:
    """Raise :class:`UsageError` if a run is to be observed by what no plugin offers."""
    for run in runs:
        for observer in run.asked():
            try:
                catalogue.get(Observer, observer.name)
            except UsageError as error:
                raise UsageError(
                    f"run {run.fingerprint[:8]} is to be observed by what no plugin offers now: "
                    f"{error} If it came from a one-off file, give it again: --plugin FILE."
                ) from None


def _lacking(run: StoredRun) -> str:
    """Return which series *run* is without and why, in a sentence."""
    names = ", ".join(observer.name for observer in run.lacking())
    attempts = run.attempts()
    reason = attempts[-1].message if attempts else ""
    return f"run {run.fingerprint[:8]} lacks the series of {names}" + (
        f": {reason}" if reason else ". Make them with: normbench resume"
    )


def _launch(
    store: RunStore, fingerprints: tuple[str, ...], catalogue: Catalogue, launching: Launching
) -> str | None:
    launcher: Launch = catalogue.get(Launcher, launching.launcher).load()()
    note_plugin_files(store.root, catalogue.offered_by_files())
    request = LaunchRequest(
        store=store.root,
        fingerprints=fingerprints,
        device=launching.device,
        slots=launching.slots,
        pack=launching.pack,
        engine=launching.engine,
        data_folder=data_folder(launching.data_dir),
        plugin_files=catalogue.files,
        keep_weights=launching.keep_weights,
        checkpoint_seconds=launching.checkpoint_seconds,
        time_limit=launching.time_limit,
        memory_limit=launching.memory_limit,
        options=launching.launcher_options,
    )
    with interrupted_by_signals(), launching.watch(store, fingerprints) as tick:
        return launcher(request, tick)


def _detaches(catalogue: Catalogue, launching: Launching) -> bool:
    """Whether the launcher will return before the runs are trained."""
    launcher = catalogue.get(Launcher, launching.launcher).load()()
    asked = getattr(launcher, "detaches", None)
    return asked is not None and bool(asked(launching.launcher_options))


def _collector(store: RunStore, launching: Launching) -> Collector | None:
    """Return what feeds MLflow; its package is imported for nothing else."""
    if not launching.track:
        return None
    from normbench.tracking import Collector

    return Collector(store)


def _unfinished(store: RunStore) -> list[StoredRun]:
    """Return the runs that are neither done nor cancelled, and those that lack series."""
    index = store.index()
    for problem in index.damaged.values():
        _log.warning("%s", problem)
    found = (run for run in index.runs.values() if not run.complete and not run.cancelled)
    return [index.stored(run) for run in index.in_order(found)]


def _readmitted(store: RunStore, prefixes: Iterable[str]) -> list[StoredRun]:
    """Return the runs named that are not done or lack series; cancelled ones are readmitted."""
    named = _named(store, prefixes)
    known = store.indexed([run.fingerprint for run in named])
    unfinished = [run for run in named if not known[run.fingerprint].complete]
    for run in unfinished:
        run.readmit()
    return unfinished


def _named(store: RunStore, prefixes: Iterable[str]) -> list[StoredRun]:
    found: dict[str, StoredRun] = {}
    for prefix in prefixes:
        runs = store.find(prefix)
        if not runs:
            raise UsageError(
                f"no run or row of store {store.root} starts with {prefix!r}. "
                "See them with: normbench status"
            )
        found.update((run.fingerprint, run) for run in runs)
    return list(found.values())


def as_words(keywords: Mapping[str, Any]) -> list[str]:
    """Return keywords as the words of the command line; two underscores are a dot."""
    return [f"{name.replace('__', '.')}={_word(value)}" for name, value in keywords.items()]


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return "null" if value is None else str(value)


def _nothing() -> None:
    """Watch nobody."""
