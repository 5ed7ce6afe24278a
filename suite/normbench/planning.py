"""Planning: what a request asks for, checked before anything is trained.

Whatever can be known to fail fails here, in the user's own process, with a message that says how to
mend it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from normbench.augmentation import FITTING, Augmentation
from normbench.data import absent_files, check_files
from normbench.descriptions import Dataset, Network, Norm, Optimizer, Problem
from normbench.errors import UsageError
from normbench.places import data_folder
from normbench.plugins import Catalogue
from normbench.quantities import counted
from normbench.resolve import Request, request_label, resolve
from normbench.specs import RunSpec


def plan(
    request: Request, catalogue: Catalogue, folder: Path | None = None, *, files: bool = True
) -> list[RunSpec]:
    """Return the specs of *request* after checking that they can be trained here.

    Args:
        request: What the user asked for.
        catalogue: What the plugins offer.
        folder: Data folder; None for the default place.
        files: Whether data files must be there; where nothing is trained they need not.

    Raises:
        UsageError: If a name, a value, a mask or a norm does not fit, or data files are missing.
    """
    return _plan(request, catalogue, folder, set() if files else None)


def _plan(
    request: Request, catalogue: Catalogue, folder: Path | None, checked: set[str] | None
) -> list[RunSpec]:
    """Return the specs of *request*; the files of the datasets *checked* are taken to be there.

    Without such a set no files are looked for.
    """
    specs = resolve(request, catalogue)
    problem = catalogue.get(Problem, request.problem)
    dataset = catalogue.get(Dataset, specs[0].problem.dataset.name)
    if _unusual(specs[0], problem) or _depends_on_parameters(specs[0]):
        # Only a built network knows its sites; torch is imported for nothing else before a launch.
        from normbench.build import build_network, sketch_network, try_shapes

        if _depends_on_parameters(specs[0]):
            from normbench.engine.session import build_optimizer

            built = build_network(specs[0], catalogue)
            build_optimizer(specs[0], built, catalogue)
        else:
            built = sketch_network(specs[0], catalogue)
        if dataset.content == "images":
            try_shapes(built, dataset.shape, specs[0].problem.training.batch_size)
    _check_rules(specs[0], dataset)
    if checked is not None and dataset.name not in checked:
        check_files(dataset, data_folder(folder), specs[0].problem.name)
        checked.add(dataset.name)
    return specs


def missing_data(spec: RunSpec, catalogue: Catalogue, folder: Path) -> str:
    """Return what the dataset of *spec* lacks, in a sentence with the fix; empty if nothing."""
    dataset = catalogue.get(Dataset, spec.problem.dataset.name)
    absent = absent_files(dataset, folder)
    if not absent:
        return ""
    fix = dataset.by_hand or f"Fetch it with: normbench prepare {dataset.name} --data-dir {folder}"
    are = "is" if len(absent) == 1 else "are"
    missing = f"{counted(len(absent), 'file')} {are} missing in {folder}"
    return f"dataset {dataset.name}: {missing}. {fix}"


def resolve_checked(request: Request, catalogue: Catalogue) -> list[RunSpec]:
    """Return the specs of *request* after the checks that need neither torch nor data files.

    Raises:
        UsageError: If a name, a value or a rule does not fit.
    """
    specs = resolve(request, catalogue)
    _check_rules(specs[0], catalogue.get(Dataset, specs[0].problem.dataset.name))
    return specs


def plan_all(
    requests: Sequence[Request],
    catalogue: Catalogue,
    folder: Path | None = None,
    *,
    files: bool = True,
) -> list[RunSpec]:
    """Return the specs of all *requests*, checked as by :func:`plan`; each file is read once.

    A run that several requests mean comes once.

    Raises:
        UsageError: If one of them cannot be trained here; the message names its cell.
    """
    specs: dict[str, RunSpec] = {}
    checked: set[str] | None = set() if files else None
    for request in requests:
        try:
            planned = _plan(request, catalogue, folder, checked)
        except UsageError as error:
            raise type(error)(f"cell {request_label(request)}: {error}") from None
        specs.update((spec.fingerprint, spec) for spec in planned)
    return list(specs.values())


def check_built(specs: Iterable[RunSpec], catalogue: Catalogue) -> None:
    """Check what only a built network shows of rows with a mask: its length, and whether it fits.

    Raises:
        UsageError: At the first that does not fit.
    """
    for spec in specs:
        if spec.ablation.sites is not None:
            from normbench.build import sketch_network

            sketch_network(spec, catalogue)


def check_resumable(specs: Iterable[RunSpec], catalogue: Catalogue, folder: Path | None) -> None:
    """Check that everything runs need to go on is here.

    Raises:
        UsageError: If a component is unknown, or data files are missing.
    """
    checked: set[str] = set()
    for spec in specs:
        if spec.row in checked:
            continue
        checked.add(spec.row)
        dataset = _components(spec, catalogue)
        if dataset.name not in checked:
            checked.add(dataset.name)
            check_files(dataset, data_folder(folder), spec.problem.name)


def _components(spec: RunSpec, catalogue: Catalogue) -> Dataset:
    """Look up all components of *spec* and return its dataset."""
    try:
        catalogue.get(Problem, spec.problem.name)
        catalogue.get(Network, spec.problem.network.name)
        catalogue.get(Norm, spec.norm.name)
        catalogue.get(Optimizer, spec.optimizer.name)
        return catalogue.get(Dataset, spec.problem.dataset.name)
    except UsageError as error:
        raise UsageError(
            f"run {spec.fingerprint[:8]} needs a component that no plugin offers now: {error} If "
            "it came from a one-off file, give it again: --plugin FILE."
        ) from None


def _check_rules(spec: RunSpec, dataset: Dataset) -> None:
    _check_validation(spec, dataset)
    _check_batch_size(spec, dataset)
    _check_augmentation(spec, dataset)


def _check_validation(spec: RunSpec, dataset: Dataset) -> None:
    rules = spec.protocol.rules
    held_out = round(rules.validation_share * dataset.train_size / max(dataset.classes, 1))
    if rules.select == "best" and dataset.train_size and held_out < 1:
        raise UsageError(
            f"protocol.select=best needs a validation part, but protocol.validation_share="
            f"{rules.validation_share:g} holds no example of {dataset.name} out. Give a larger "
            "share, or select the final epoch."
        )


def _check_batch_size(spec: RunSpec, dataset: Dataset) -> None:
    rules, size = spec.protocol.rules, spec.problem.training.batch_size
    examples = round(dataset.train_size * (1 - rules.validation_share))
    window = dataset.shape[0] if dataset.content == "tokens" else 1
    if window > 1 and examples and size * window > examples:
        raise UsageError(
            f"problem.batch_size={size} streams of {window} tokens need {size * window} tokens, "
            f"but the training part of {dataset.name} has {examples}. Give a smaller batch size."
        )
    if rules.drop_last and examples and size > examples:
        raise UsageError(
            f"problem.batch_size={size} is larger than the training part of {dataset.name} "
            f"({examples} examples), and protocol.drop_last leaves partial batches out. Give a "
            "smaller batch size, or protocol.drop_last=false."
        )


def _check_augmentation(spec: RunSpec, dataset: Dataset) -> None:
    words = spec.problem.training.augmentation
    Augmentation.parse(words)
    if spec.protocol.rules.evaluation_view == "shrunk" and not Augmentation.parse(words).pad:
        raise UsageError(
            "protocol.evaluation_view=shrunk pads images as cropping does, but this problem crops "
            "none. Give problem.augmentation=pad_crop:4, or leave the view plain."
        )
    if words and dataset.content not in FITTING:
        raise UsageError(
            f"problem.augmentation={','.join(words)}: dataset {dataset.name} holds no images. "
            "Leave it out."
        )
    if unfit := Augmentation.parse(words).unfit(dataset.content):
        raise UsageError(
            f"problem.augmentation={','.join(unfit)} does not fit dataset {dataset.name}, whose "
            f"content is {dataset.content}: expected words among "
            f"{', '.join(FITTING[dataset.content])}. Leave it out."
        )


def _unusual(spec: RunSpec, problem: Problem) -> bool:
    """Whether the request changes what sits at the sites or the network around them."""
    identity = spec.identity
    return bool(
        spec.norm.name != problem.norm
        or spec.ablation.sites is not None
        or spec.ablation.input_norm is not None
        or spec.problem.training.batch_size != problem.training.batch_size
        or identity["norm"]["parameters"]
        or identity["problem"]["network_parameters"]
    )


def _depends_on_parameters(spec: RunSpec) -> bool:
    """Whether the optimizer may or may not take the parameters' shapes or learning rates."""
    addresses = any(isinstance(value, tuple) for value in spec.optimizer.parameters.values())
    return addresses or spec.ablation.scale_lr_divisor != 1.0
