"""Whether another machine would render what the plan says: the same libraries, weights and folder."""

import platform
from importlib.metadata import version

from vec2face.checkpoints import digest
from vec2face.errors import ContractError, DatasetError
from vec2face.generation.folder import DatasetFolder, read_description
from vec2face.generation.plan import DECISIVE_LIBRARIES, Plan
from vec2face.generation.render import require_device


def require_agreement(plan: Plan, folder: DatasetFolder) -> None:
    """Make sure, on the machine that calls it, that shards rendered there belong to the dataset.

    Raises:
        ConfigError: the plan's device is absent.
        ContractError: a library's release or the weights differ from the plan's.
        DatasetError: the dataset's folder is not to be seen.
        WeightsError: the weights are missing.
    """
    here = platform.node()
    for library in DECISIVE_LIBRARIES:
        if version(library) != plan.versions[library]:
            raise ContractError(
                f"{here} has {library} {version(library)}, but the dataset is made with {plan.versions[library]}; "
                "install the same release on every machine."
            )
    try:
        seen = read_description(folder)["fingerprint"]
    except DatasetError as error:
        raise DatasetError(
            f"{here} does not see the dataset ({str(error).rstrip('.')}); choose a folder that every machine reaches "
            "by one path, or a URL."
        ) from None
    if seen != plan.fingerprint:
        raise DatasetError(
            f"{folder.root} holds another dataset on {here}; choose a path that means the same everywhere, or a URL."
        )
    require_device(plan.recipe.compute.device)
    if digest(plan.recipe.weights, kind="generator") != plan.generator.sha256:
        raise ContractError(
            f"the weights {plan.recipe.weights} on {here} are not the plan's; put the same on every machine."
        )
