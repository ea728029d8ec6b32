"""What a search must know of networks that it has not trained: their space, their size, who can train with whom.

To know it they are built, which takes TensorFlow. The driver has that done by a process forked from one that has it
loaded, and need not load it before it writes the best: a search begins seconds earlier. (keras-tuner's oracles, and the
check of a user's own factory, load it all the same.)
"""

from __future__ import annotations

import functools
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from kexp.errors import KexpError
from kexp.layouts import Kind
from kexp.records import NO_RECIPES, Costs, DatasetSpec, Dimension, Experiment, Recipes, Value


class Outline(NamedTuple):
    """The candidates of a search: whose factory builds them, what can vary, and whether the default trains alone."""

    factory: str
    dimensions: tuple[Dimension, ...]
    recipes: Recipes
    alone: bool
    held: Mapping[str, Value] = {}  # what would keep it from overfitting, each as if it was not there


class Sketch(NamedTuple):
    """One candidate: the values that its build reads, what it is to others, and what it will cost."""

    values: dict[str, Value]
    kind: Kind | None  # None: it trains alone
    costs: Costs

    @property
    def parameters(self) -> int:
        """Its trainable and other weights."""
        return self.costs.parameters


class AbstractSketches(ABC):
    """Builds networks of one experiment to look at them."""

    @abstractmethod
    def outline(self) -> Outline:
        """Of all candidates.

        Raises ExperimentError for a factory or a [space] that cannot be; a bug of the factory passes through, from
        another process as RuntimeError with its traceback.
        """

    @abstractmethod
    def look(self, values: Mapping[str, Value]) -> Sketch:
        """At the candidate of `values`. Raises as `outline` does."""


class Sketches(AbstractSketches):
    """In this process."""

    def __init__(self, spec: DatasetSpec, experiment: Experiment) -> None:
        self._spec, self._experiment = spec, experiment

    def outline(self) -> Outline:
        """See AbstractSketches."""
        from kexp import models

        recipes = models.RECIPES.get(self._factory, NO_RECIPES)
        dimensions = models.space(self._spec, self._experiment)
        held = models.unregularised(dimensions)
        return Outline(self._factory, dimensions, recipes, self.look({}).kind is None, held)

    def look(self, values: Mapping[str, Value]) -> Sketch:
        """See AbstractSketches. A network of dense layers alone is known without building it: 1 ms instead of 20."""
        from kexp import models
        from kexp.export.costs import planned
        from kexp.export.walk import walk, walk_known
        from kexp.models.space import HyperParameters
        from kexp.train import kind_of

        hp = HyperParameters(values, self._experiment.space)
        known = self._unbuilt.known(hp)
        if known is not None:
            found = planned(walk_known(known), known.parameters, self._said)
            return Sketch(dict(hp.read), Kind(known.features, known.layout), found)
        hp = HyperParameters(values, self._experiment.space)
        network = models.sketch(self._spec, self._factory, hp)
        kind, found = kind_of(self._spec, network), planned(walk(network), network.parameters, self._said)
        models.forget()
        return Sketch(dict(hp.read), kind, found)

    @functools.cached_property
    def _factory(self) -> str:
        from kexp import models

        return self._experiment.factory or models.default_factory(self._spec)

    @functools.cached_property
    def _unbuilt(self) -> Any:
        from kexp import models

        return models.Unbuilt(self._spec, self._factory)

    @functools.cached_property
    def _said(self) -> int:
        from kexp.export.costs import described

        return described(self._spec)


class Request(NamedTuple):
    """The first message to a process that is to build networks."""

    spec: DatasetSpec
    experiment: Experiment


class RemoteSketches(AbstractSketches):
    """In the process at the other end of `connection`, or in this one if that is gone."""

    def __init__(self, connection: Connection, spec: DatasetSpec, experiment: Experiment) -> None:
        self._connection = connection
        self._here = Sketches(spec, experiment)
        self._send(Request(spec, experiment))

    def outline(self) -> Outline:
        """See AbstractSketches."""
        found: Outline = self._asked("outline")
        return found

    def look(self, values: Mapping[str, Value]) -> Sketch:
        """See AbstractSketches."""
        found: Sketch = self._asked("look", dict(values))
        return found

    def _send(self, message: object) -> None:
        try:
            self._connection.send(message)
        except OSError:
            self._connection.close()

    def _asked(self, name: str, *arguments: object) -> Any:
        if not self._connection.closed:
            self._send((name, arguments))
        if self._connection.closed:
            return getattr(self._here, name)(*arguments)
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._connection.close()
            return self._asked(name, *arguments)
        if isinstance(answer, KexpError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(f"a candidate cannot be built; what had finished is kept.\n\n{answer}")
        return answer


def serve(connection: Connection, request: Request) -> None:
    """Answer until the driver is gone: what was asked for, a KexpError, or the traceback of a bug as text."""
    sketches = Sketches(request.spec, request.experiment)
    while True:
        name, arguments = connection.recv()
        answer: object
        try:
            answer = getattr(sketches, name)(*arguments)
        except KexpError as error:
            answer = error
        except Exception:  # noqa: BLE001 - a bug, in a user's factory too: the driver stops with its traceback
            answer = traceback.format_exc()
        connection.send(answer)
