"""Networks: input, front end (no trainable weight), a factory's features, a head by task.

    model = frontend -> core (factory + "logits") -> answer

`core` is what is trained; `frontend` and `answer` hold what the phone must not do by hand: normalisation, encoding,
softmax, the target's own units.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras

from kexp.errors import ExperimentError, nearest
from kexp.layouts import Layout
from kexp.models import own, pretrained
from kexp.models.backbone import USUAL as HEAD
from kexp.models.backbone import backbone, front, slow
from kexp.models.backbone import plan as trunk_plan
from kexp.models.conv import RECIPES as CONV_RECIPES
from kexp.models.conv import conv, conv_clip, conv_sound
from kexp.models.conv1d import RECIPES as CONV1D_RECIPES
from kexp.models.conv1d import conv1d
from kexp.models.dense import ACTIVATIONS, Usual, asked, dense
from kexp.models.dense import USUAL as DENSE
from kexp.models.layers import Augmentation, FromLast, LogMel, Naive, TableEncoder
from kexp.models.space import HyperParameters, Remembered, declare
from kexp.records import DatasetSpec, Dimension, Experiment, Kind, Recipes, Value

FACTORIES: dict[str, Callable[[HyperParameters, Any], Any]] = {
    "dense": dense,
    "conv": conv,
    "conv1d": conv1d,
    "conv_sound": conv_sound,
    "conv_clip": conv_clip,
    "backbone": backbone,
}
RECIPES: dict[str, Recipes] = {"conv": CONV_RECIPES, "conv1d": CONV1D_RECIPES}
BRANCHES: dict[str, tuple[dict[str, Value], ...]] = {  # answers besides the default behind which a factory asks more
    "conv1d": ({"block": "residual"},),
    "conv_clip": ({"fusion": "late"},),
}
# What keeps a network from learning its rows by heart, and what it is where it is not there. Of weight decay some helps
# any training (Loshchilov and Hutter 2019): it is held at its default, not at nothing.
REGULARISERS: dict[str, Value] = {"dropout": 0.0, "augmentation": "none", "erase": 0.0, "weight_decay": 1e-2}
# The front ends of factories that bring their own, in the place of that of the kind of data.
FRONTS: dict[str, Callable[[DatasetSpec, HyperParameters], keras.Model]] = {"backbone": front}
HEADS: dict[str, Usual] = {"dense": DENSE, "backbone": HEAD}  # factories of dense layers alone: see Unbuilt
# Learning rates, lowest, highest and usual, where they differ. Of 60 photos an epoch has two steps: on features of
# trashnet's, a head reached .52 at 2e-3 where it reached .56 at 1e-2.
RATES: dict[str, tuple[float, float, float]] = {"backbone": (1e-3, 3e-2, 5e-3)}
USUAL: dict[Kind, str] = {  # the factory for a kind of data
    "image": "conv",
    "table": "dense",
    "series": "conv1d",
    "sound": "conv_sound",
    "clip": "conv_clip",
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """One built candidate. `core` maps features to logits and is trained.

    Of a user's own `build(hp)` the core is the whole model: no front end, and no answer layer, since its output
    already is the answer. Optimiser and loss are a user's own where the model came compiled. What the front end puts
    out `once` is kept for all epochs, and for all networks whose front ends make the same: `features` names it.
    """

    core: keras.Model
    frontend: keras.Model | None = None
    answer: keras.layers.Layer | None = None
    once: bool = False  # otherwise pixels pass the front end in every step: fewer bytes, and they can be augmented
    base: keras.layers.Layer | None = None  # from raw samples to what the answer is added to: the naive forecast
    learning_rate: float | None = 1e-3  # the peak of a cycle; None: the optimiser has a schedule of its own
    weight_decay: float = 0.0
    optimizer: keras.optimizers.Optimizer | None = None
    loss: Callable[[Any, Any], Any] | None = None  # None: the task's

    @functools.cached_property
    def model(self) -> keras.Model:
        """From raw samples to answers."""
        if self.frontend is None or self.answer is None:
            return self.core
        return _whole(self.frontend, self.core, self.answer, self.base)

    @property
    def features(self) -> str:
        """What samples become before they are trained on."""
        return "raw" if self.frontend is None or not self.once else _name(self.frontend)

    @property
    def parameters(self) -> int:
        """Trainable and other weights, those of a frozen trunk included."""
        return int(self.core.count_params()) + (int(self.frontend.count_params()) if self.frontend is not None else 0)


def _name(frontend: keras.Model) -> str:
    """What `frontend` makes of samples: those of one name make the same."""
    return json.dumps([frontend.name, frontend.layers[-1].get_config()], sort_keys=True, default=str)


def default_factory(spec: DatasetSpec) -> str:
    """The factory for a kind of data, unless the experiment names one. Forecasts have few rows and a linear past."""
    return "dense" if spec.horizon else USUAL[spec.kind]


def build(spec: DatasetSpec, factory: str, hp: HyperParameters) -> Network:
    """The network of the candidate that `hp` replays.

    A user's own compiled model trains with its optimiser, a plain learning rate being the peak of one cycle, and its
    loss; its metrics are not used. Otherwise the loss is that of the task, cross entropy or squared error.

    Raises ExperimentError for a factory that does not exist, or returns something else than a network that fits the
    data, with a loss that takes their targets.
    """
    make = _factory(factory)
    if _questions(make) == 1:
        return Network(**own.fields(spec, factory, make(hp)))
    frontend = _front(spec, factory, hp)
    entry = keras.Input(frontend.output_shape[1:], name="features")
    logits = keras.layers.Dense(spec.outputs, name="logits")(make(hp, entry))
    core = keras.Model(entry, logits, name="core")
    rate, decay = _rates(factory, hp)
    return Network(
        core=core,
        frontend=frontend,
        once=_once(spec, factory, frontend),
        answer=answer_layer(spec),
        base=base_layer(spec),
        learning_rate=rate,
        weight_decay=decay,
        optimizer=slow(hp, core, rate, decay) if factory == "backbone" else None,
    )


def _rates(factory: str, hp: HyperParameters) -> tuple[float, float]:
    """Learning rate and weight decay."""
    low, high, usual = RATES.get(factory, (3e-4, 1e-2, 2e-3))
    rate = hp.Float("learning_rate", low, high, sampling="log", default=usual)
    return rate, hp.Float("weight_decay", 1e-5, 1e-1, sampling="log", default=1e-2)


def _once(spec: DatasetSpec, factory: str, frontend: keras.Model) -> bool:
    """Whether what the front end puts out is kept for all epochs."""
    return not spec.pixels or (factory in FRONTS and len(frontend.output_shape) == 2)


def _front(spec: DatasetSpec, factory: str, hp: HyperParameters) -> keras.Model:
    """From raw samples to what the core eats."""
    if factory in FRONTS:
        return FRONTS[factory](spec, hp)
    inputs = keras.Input(spec.shape, name="input")
    return keras.Model(inputs, front_end(spec, hp)(inputs), name="frontend")


def sketch(spec: DatasetSpec, factory: str, hp: HyperParameters) -> Network:
    """`build`, to be looked at alone: the weights of kexp's own factories are left unmade: three times faster."""
    if factory not in FACTORIES:
        return build(spec, factory, hp)
    with pretrained.without_weights(), keras.StatelessScope(initialize_variables=False):
        return build(spec, factory, hp)


class Known(NamedTuple):
    """A candidate that is known without being built: a front end, and dense layers. The rest as in Network."""

    frontend: keras.Model
    layout: Layout
    features: str
    answer: keras.layers.Layer
    base: keras.layers.Layer | None

    @property
    def parameters(self) -> int:
        """As those of the Network."""
        rows = zip(itertools.pairwise(self.layout.widths), self.layout.biases, (*self.layout.norms, None), strict=True)
        dense = sum(a * b + b * bias + 4 * b * (norm is not None) for (a, b), bias, norm in rows)
        return dense + int(self.frontend.count_params())


class Unbuilt:
    """Candidates of one factory of which the values tell all that there is to know: dense layers behind a front end.

    Front ends are built once for each that there is. An experiment's [space] must be the same in all `hp`.
    """

    def __init__(self, spec: DatasetSpec, factory: str) -> None:
        self._spec, self._factory = spec, factory
        self._front = Remembered(functools.partial(_front, spec, factory))
        self._names: dict[int, str] = {}
        self._answer, self._base = answer_layer(spec), base_layer(spec)
        norm = keras.layers.BatchNormalization()
        self._norm = (norm.momentum, norm.epsilon)

    def known(self, hp: HyperParameters) -> Known | None:
        """What `build` would make, its questions answered; None where it must be built.

        Raises ExperimentError as `build` does.
        """
        spec, factory = self._spec, self._factory
        if factory not in HEADS or (factory == "backbone" and trunk_plan(hp).blocks != 0):
            return None
        with pretrained.without_weights(), keras.StatelessScope(initialize_variables=False):
            frontend = self._front(hp)
        hidden = asked(hp, HEADS[factory])
        _rates(factory, hp)
        sound = all(type(width) is int and width > 0 for width in hidden.widths) and 0 <= hidden.dropout < 1
        if not sound or hidden.activation not in ACTIVATIONS:
            return None  # Keras knows what to say of it
        count, norm = len(hidden.widths), self._norm if hidden.normalise else None
        layout = Layout(
            widths=(math.prod(frontend.output_shape[1:]), *hidden.widths, spec.outputs),
            biases=(*[not hidden.normalise] * count, True),
            norms=(norm,) * count,
            activations=(hidden.activation,) * count,
            dropouts=(hidden.dropout,) * count,
        )
        if id(frontend) not in self._names:
            self._names[id(frontend)] = _name(frontend) if _once(spec, factory, frontend) else "raw"
        return Known(frontend, layout, self._names[id(frontend)], self._answer, self._base)


def inference(network: Network) -> keras.Model:
    """The model from raw sample to answer, without augmentation and dropout: what is exported. Weights are shared."""
    if network.frontend is None or network.answer is None:
        return network.model

    def skip(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, Augmentation | keras.layers.Dropout) else layer(*args, **kwargs)

    core = keras.models.clone_model(network.core, call_function=skip, clone_function=lambda layer: layer)
    return _whole(network.frontend, core, network.answer, network.base)


def _whole(
    frontend: keras.Model, core: keras.Model, answer: keras.layers.Layer, base: keras.layers.Layer | None
) -> keras.Model:
    """From raw samples to answers."""
    inputs = frontend.inputs[0]
    answers = answer(core(frontend.outputs[0]))
    if base is not None:
        answers = keras.layers.Add(name="forecast")([answers, base(inputs)])
    return keras.Model(inputs, answers, name="model")


def space(spec: DatasetSpec, experiment: Experiment) -> tuple[Dimension, ...]:
    """Every hyperparameter of the experiment's factory, with the experiment's own limits.

    Raises ExperimentError as `build` does, and for a user's own factory whose networks cannot be read from a file.
    """
    factory = experiment.factory or default_factory(spec)

    def ask(hp: HyperParameters) -> None:
        sketch(spec, factory, hp)

    # The rows of FACTORIES ask for everything when every count is at its largest, and their BRANCHES are taken: tests
    # hold them to it. Not those whose dimensions hang on names: of weights, say.
    thorough, branches = factory not in FACTORIES or factory in FRONTS, BRANCHES.get(factory, ())
    found = declare(ask, experiment.space, thorough=thorough, branches=branches)
    if factory not in FACTORIES:
        own.check_file(factory, inference(build(spec, factory, HyperParameters(overrides=experiment.space))))
    keras.backend.clear_session(free_memory=False)  # its garbage collection takes longer than a build
    return found


def unregularised(dimensions: Sequence[Dimension]) -> dict[str, Value]:
    """REGULARISERS as they are where they are not there, of those that are searched and can be so."""
    return {
        one.name: value
        for one in dimensions
        if (value := REGULARISERS.get(one.name)) is not None and one.kind != "fixed" and _allowed(one, value)
    }


def _allowed(one: Dimension, value: Value) -> bool:
    if one.kind == "choice":
        return value in one.values
    return one.kind in ("int", "float") and isinstance(value, int | float) and one.minimum <= value <= one.maximum


def front_end(spec: DatasetSpec, hp: HyperParameters) -> keras.layers.Layer:
    """The layer that takes raw samples (n, *shape) to features."""
    return FRONT_ENDS[spec.kind](spec, hp)


def _channels(spec: DatasetSpec, hp: HyperParameters) -> keras.layers.Layer:
    """Each channel to mean 0 and deviation 1 of the training samples; of a forecast, from its last step."""
    if spec.horizon:
        return FromLast([s or 1.0 for s in spec.std], name="frontend")
    scale = [1.0 / s if s else 1.0 for s in spec.std]
    offset = [-m * k for m, k in zip(spec.mean, scale, strict=True)]
    return keras.layers.Rescaling(
        scale if len(scale) > 1 else scale[0], offset if len(offset) > 1 else offset[0], name="frontend"
    )


def _spectrogram(spec: DatasetSpec, hp: HyperParameters) -> keras.layers.Layer:
    """Log-mel bands, of windows of 32 ms (Davis and Mermelstein 1980 took 26); a hop that gives 64 frames about."""
    mels = hp.Choice("mels", [32, 48, 64], default=48)
    window = max(32, round(spec.rate * 0.032))
    hop = hp.Choice("hop", [0.25, 0.5], default=0.5)  # shares of the window
    step = max(round(window * hop), -(-spec.shape[0] // MOST_FRAMES))
    return LogMel(spec.rate, window, step, mels, name="frontend")


def _columns(spec: DatasetSpec, hp: HyperParameters) -> keras.layers.Layer:
    columns = [
        {
            "kind": c.kind, "mean": c.mean, "std": c.std, "edges": list(c.edges),
            "choices": len(c.choices), "missing": c.missing,
        }
        for c in spec.columns
    ]  # fmt: skip
    binned = any(len(c.edges) > 2 for c in spec.columns)
    piecewise = hp.Choice("numeric_encoding", ["piecewise", "standard"], default="piecewise") if binned else "standard"
    return TableEncoder(columns, piecewise == "piecewise", name="frontend")


MOST_FRAMES = 256  # of a spectrogram: longer sounds are looked at in wider steps
FRONT_ENDS: dict[Kind, Callable[[DatasetSpec, HyperParameters], keras.layers.Layer]] = {
    "image": _channels,
    "table": _columns,
    "series": _channels,
    "sound": _spectrogram,
    "clip": _channels,
}


def base_layer(spec: DatasetSpec) -> keras.layers.Layer | None:
    """The layer that takes raw samples to what answers are added to; None but of a forecast."""
    if not spec.horizon:
        return None
    return Naive(spec.horizon, spec.seasons[0], list(spec.forecast), name="naive")


def answer_layer(spec: DatasetSpec) -> keras.layers.Layer:
    """The layer that takes logits (n, outputs) to probabilities, or to values in the target's units."""
    if spec.task == "regression":
        many = spec.outputs > 1
        return keras.layers.Rescaling(
            list(spec.target_std) if many else spec.target_std[0],
            list(spec.target_mean) if many else spec.target_mean[0],
            name="answer",
        )
    return keras.layers.Activation("softmax" if spec.task == "multiclass" else "sigmoid", name="answer")


def check_factory(name: str) -> None:
    """Raise ExperimentError where `name` is no factory."""
    _factory(name)


def _factory(name: str) -> Callable[..., Any]:
    """A row of FACTORIES, or a user's own `module:function` (the current folder is searched too)."""
    if ":" not in name:
        if name not in FACTORIES:
            raise ExperimentError(
                f"factory = {name!r} does not exist.{nearest(name, FACTORIES)} Your own: 'module:function'."
            )
        return FACTORIES[name]
    module, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name != module.split(".")[0]:
            raise  # the module is there, and imports something that is not: its author wants the traceback
        raise ExperimentError(
            f"factory = {name!r}: {error}. Expected 'module:function', importable from here."
        ) from error
    return found  # type: ignore[no-any-return]


def _questions(make: Callable[..., Any]) -> int:
    """How many arguments must be given: (hp) builds a whole model, (hp, x) is a factory of features."""
    given = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(make).parameters.values()
    return sum(p.kind in given and p.default is inspect.Parameter.empty for p in parameters)


def replay(values: dict[str, Value]) -> HyperParameters:
    """The hyperparameters that answer with a trial's values."""
    return HyperParameters(values)


def forget() -> None:
    """Let go of what Keras keeps of the networks that were built: names, and their graphs."""
    keras.backend.clear_session(free_memory=False)  # its garbage collection takes longer than a build
